"""What a service holds, beside what its clients know: every document looked at, alone and through a search."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from eval.bench.service import RunningService
from eval.campaign.journal import SENTENCE, Fate, Faults, Journal, text_of
from eval.campaign.traffic import NAMES


@dataclass(slots=True)
class Known:
    """What is known in one run, what was found wrong, and what everything at random is drawn with."""

    folder: Path
    draw: random.Random
    journal: Journal = field(default_factory=Journal)
    faults: Faults = field(default_factory=Faults)


def client_of(service: RunningService) -> httpx.Client:
    """Return a client of the service."""
    return httpx.Client(base_url=service.url, headers=service.headers(), timeout=30, trust_env=False)


def inspect(known: Known, service: RunningService) -> None:
    """Look at every document after a restart: is it what was promised, whole, once, and found as that only."""
    before = known.journal.snapshot()
    with client_of(service) as client:
        ready = client.get("/readyz").json()
        if ready["status"] != "ok":
            known.faults.note("not_back", f"after a restart, /readyz says {ready}")
        listing = client.get("/documents").raise_for_status()
        listed = [item["id"] for item in listing.json()["documents"]]
        known.faults.note("duplicate", f"listed twice: {listed}", len(listed) - len(set(listed)))
        known.faults.note("phantom", f"never sent: {set(listed) - set(NAMES)}", len(set(listed) - set(NAMES)))
        live = {name: live_edition(known, client, name) for name in NAMES}
        unlisted = [name for name, edition in live.items() if (edition is not None) != (name in listed)]
        known.faults.note("mixed", f"the list and the documents differ in {unlisted}", len(unlisted))
    for name, edition in live.items():
        judge(known, name, before.get(name, Fate()), edition)
        known.journal.settle(name, edition)
    halves(known, before, live)


def live_edition(known: Known, client: httpx.Client, name: str) -> int | None:
    """Return the edition of a document that is stored, None if none is; counts what is half or mixed in it."""
    answer = client.get(f"/documents/{name}")
    if answer.status_code == httpx.codes.NOT_FOUND:
        found = passages_of(client, name)
        known.faults.note("phantom", f"{name} is not there and is found: {found[:1]}", len(found))
        return None
    stored = answer.raise_for_status().json()
    editions = sorted({int(edition) for edition, _ in SENTENCE.findall(stored["text"])})
    covered = " ".join(stored["text"][chunk["start"] : chunk["end"]] for chunk in stored["chunks"])
    if len(editions) != 1 or stored["text"] != text_of(name, editions[0]) or covered.split() != stored["text"].split():
        known.faults.note("half", f"{name} is no whole edition: {stored['text'][:200]!r}")
        return editions[-1] if editions else None
    passages = passages_of(client, name)
    wrong = [item["version"] for item in passages if item["version"] != stored["version"]]
    known.faults.note("mixed", f"{name} is version {stored['version']} and found as {wrong}", len(wrong))
    doubled = len(passages) - len({item["chunk_id"] for item in passages})
    known.faults.note("duplicate", f"{name}: a search finds a chunk twice", doubled)
    known.faults.note("lost", f"{name} is stored and not found", int(not passages))
    return editions[0]


def passages_of(client: httpx.Client, name: str) -> list[Any]:
    """Return the passages of a document that a search for it finds."""
    body = {"question": f"sentence of {name}", "token_budget": 4_000, "top_k": 200}
    found = client.post("/context", json=body).raise_for_status().json()["passages"]
    return [item for item in found if item["document_id"] == name]


def judge(known: Known, name: str, fate: Fate, edition: int | None) -> None:
    """Count a document that is older than was promised, or that nobody can have stored."""
    if fate.may_be(edition):
        return
    older = edition is None or edition < fate.floor
    kind = "lost" if older and not fate.deleted else "phantom"
    known.faults.note(kind, f"{name}: operation {fate.floor} was acknowledged, edition {edition} is live")


def halves(known: Known, before: Mapping[str, Fate], live: Mapping[str, int | None]) -> None:
    """Count requests of several documents of which some are stored and others are not.

    Only what was sent last tells: an operation may have been followed by another that was not answered either.
    """
    parts: dict[int, set[bool]] = {}
    for name, fate in before.items():
        newest = max(fate.pending, default=0)
        if newest and not fate.pending[newest]:
            parts.setdefault(newest, set()).add(live[name] == newest)
    torn = [number for number, found in parts.items() if len(found) > 1]
    known.faults.note("half", f"requests {torn} of several documents are stored in part", len(torn))
