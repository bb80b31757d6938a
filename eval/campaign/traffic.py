"""Clients that write, delete and ask at the same time, and look at every answer they get."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from eval.bench.service import RunningService
from eval.campaign.journal import Fate, Faults, Journal, check_passages, text_of

DOCUMENTS = 24
WRITERS, READERS = 3, 2
BATCH = 6
DELETES = 0.2
REQUEST_TIMEOUT_S = 30.0
AFTER_BREAK_S = 0.01
# `unchanged`: what is sent once more, and was stored the first time although nobody was told.
STORED = ("created", "updated", "unchanged")
NAMES = tuple(f"doc-{n:02d}" for n in range(DOCUMENTS))


@dataclass(slots=True)
class Traffic:
    """What the clients share. cut: requests that ended with the connection. asked: answers that were looked at.

    lasting: whether clients go on after a connection broke: another dependency is killed, not the service.
    keyed: whether ingests carry an Idempotency-Key. unanswered: ingests that were not answered, by operation.
    codes: of problems that are no fault now. held: how often one of them came. pause_s: after each request.
    """

    service: RunningService
    journal: Journal
    faults: Faults
    lasting: bool = False
    keyed: bool = False
    unanswered: dict[int, list[str]] = field(default_factory=dict)
    codes: frozenset[str] = frozenset()
    held: int = 0
    pause_s: float = 0.0
    asked: int = 0
    cut: int = 0
    stopping: threading.Event = field(default_factory=threading.Event)

    def client(self) -> httpx.Client:
        """Return a client of the service."""
        return httpx.Client(
            base_url=self.service.url, headers=self.service.headers(), timeout=REQUEST_TIMEOUT_S, trust_env=False
        )

    def refused(self, answer: httpx.Response, what: str) -> None:
        """Count an answer that should have been a success, unless it is a problem that is no fault now."""
        if code_of(answer) in self.codes:
            self.held += 1
            return
        kind = "untyped" if code_of(answer) in ("", "internal_error") else "refused"
        self.faults.note(kind, f"{what}: {answer.status_code} {answer.text[:200]}")


def code_of(answer: httpx.Response) -> str:
    """Return the code of a problem, "" for a response that is none."""
    if not answer.headers.get("content-type", "").startswith("application/problem+json"):
        return ""
    return str(answer.json().get("code", ""))


@contextmanager
def traffic(shared: Traffic, *, seed: str) -> Iterator[Traffic]:
    """Keep writers and readers busy for the length of the block."""
    with ThreadPoolExecutor(WRITERS + READERS) as threads:
        clients = [threads.submit(write, shared, n, random.Random(f"{seed}/w{n}")) for n in range(WRITERS)]  # noqa: S311
        clients += [threads.submit(read, shared, random.Random(f"{seed}/r{n}")) for n in range(READERS)]  # noqa: S311
        try:
            yield shared
        finally:
            shared.stopping.set()
            for client in clients:
                client.result()


def write(shared: Traffic, number: int, draw: random.Random) -> None:
    """Ingest and delete documents of one's own until told to stop or the connection breaks."""
    mine = NAMES[number::WRITERS]
    with shared.client() as client:
        while not shared.stopping.is_set() and goes_on(shared, lambda: operate(shared, client, mine, draw)):
            time.sleep(shared.pause_s)


def goes_on(shared: Traffic, work: Callable[[], None]) -> bool:
    """Do a piece of work; return whether its client goes on: where the connection broke, only one that is to last."""
    try:
        work()
    except httpx.TransportError:
        shared.cut += 1
        time.sleep(AFTER_BREAK_S)
        return shared.lasting
    return True


def operate(shared: Traffic, client: httpx.Client, mine: Sequence[str], draw: random.Random) -> None:
    """Send one operation and then ask for what it did, as its writer is promised to see it."""
    if draw.random() < DELETES:
        name = draw.choice(mine)
        delete(shared, client, name)
    else:
        names = draw.sample(mine, draw.choice((1, 1, 1, BATCH)))
        name = names[0]
        ingest(shared, client, names)
    before = shared.journal.snapshot()
    answer = client.post("/context", json={"question": f"sentence of {name}", "token_budget": 800, "top_k": 100})
    look_at(shared, answer, before)


def ingest(shared: Traffic, client: httpx.Client, names: Sequence[str]) -> None:
    """Write a new edition of the documents in one request."""
    operation = shared.journal.send(names)
    shared.unanswered[operation] = list(names)
    put(shared, client, names, operation)
    del shared.unanswered[operation]


def put(shared: Traffic, client: httpx.Client, names: Sequence[str], operation: int) -> None:
    """Send the ingest of an operation, for the first time or once more."""
    documents = [{"id": name, "text": text_of(name, operation)} for name in names]
    headers = {"Idempotency-Key": f"operation-{operation}"} if shared.keyed else {}
    answer = client.post("/ingest", json={"documents": documents}, headers=headers)
    if answer.status_code != httpx.codes.OK:
        shared.refused(answer, "an ingest")
        return
    shared.journal.acknowledge(names, operation)
    failed = [item for item in answer.json()["documents"] if item["status"] not in STORED]
    if failed:
        shared.faults.note("refused", f"an ingest: {failed[0]}")


def delete(shared: Traffic, client: httpx.Client, name: str) -> None:
    """Delete a document that may not be there."""
    operation = shared.journal.send([name], deletes=True)
    answer = client.delete(f"/documents/{name}")
    if answer.status_code in (httpx.codes.NO_CONTENT, httpx.codes.NOT_FOUND):
        shared.journal.acknowledge([name], operation)
    else:
        shared.refused(answer, "a deletion")


def read(shared: Traffic, draw: random.Random) -> None:
    """Ask, whole or streamed, until told to stop or the connection breaks."""
    with shared.client() as client:
        while not shared.stopping.is_set() and goes_on(shared, lambda: ask(shared, client, draw)):
            time.sleep(shared.pause_s)


def ask(shared: Traffic, client: httpx.Client, draw: random.Random) -> None:
    """Ask one question and look at the answer."""
    question = {"question": f"What does sentence {draw.randrange(8)} of {draw.choice(NAMES)} say?"}
    before = shared.journal.snapshot()
    if draw.random() < 0.5:
        look_at(shared, client.post("/answer", json=question), before)
    else:
        look_at_stream(shared, client, question, before)


def look_at(shared: Traffic, answer: httpx.Response, before: Mapping[str, Fate]) -> None:
    """Count what is wrong with an answer or a context."""
    if answer.status_code != httpx.codes.OK:
        shared.refused(answer, "a question")
        return
    try:
        found = answer.json()
    except ValueError:
        shared.faults.note("torn", f"a whole response that is no JSON: {answer.text[-80:]!r}")
        return
    shared.asked += 1
    check_passages(found.get("context", found)["passages"], before, shared.faults)


def look_at_stream(shared: Traffic, client: httpx.Client, question: dict[str, str], before: Mapping[str, Fate]) -> None:
    """Count what is wrong with a streamed answer: it ends with `done` or `error`, and its pieces are its text."""
    with client.stream("POST", "/answer", json={**question, "stream": True}) as response:
        if response.status_code != httpx.codes.OK:
            response.read()
            shared.refused(response, "a streamed question")
            return
        events = list(events_in(response.iter_lines()))
    shared.asked += 1
    name, last = events[-1] if events else ("nothing", {})
    if name == "error" and last.get("code") in shared.codes:
        shared.held += 1
        return
    if name != "done":
        shared.faults.note("torn", f"a stream that was not cut ended with {name}: {last}")
        return
    said = "".join(fields["text"] for kind, fields in events if kind == "delta")
    if said != last["answer"]:
        shared.faults.note("torn", f"{said!r} was streamed for {last['answer']!r}")
    check_passages(last["context"]["passages"], before, shared.faults)


def events_in(lines: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and fields of each server-sent event."""
    name = ""
    for line in lines:
        if line.startswith("event:"):
            name = line.removeprefix("event:").strip()
        elif line.startswith("data:"):
            yield name, json.loads(line.removeprefix("data:"))
