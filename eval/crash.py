"""`kill -9` of the service while it ingests, again and again: what was acknowledged must be there, whole, once.

Each round sends a new edition of every document, some in requests of their own and some in
batches, kills the service at a random moment, starts it again and looks at everything. In every second
round the moment is counted from the first acknowledgement, so that there is something to lose.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from eval.bench.service import RunningService, running_service
from eval.errors import BenchError
from eval.intervals import exact
from eval.report import Report
from ragopt.state.data_dir import read_running

SENTENCES = 12
SENDERS = 4
BATCH_DOCUMENTS = 20
REQUEST_TIMEOUT_S = 30.0
# The kill falls anywhere in what a whole ingest of the documents takes, and a little after it.
LATEST_KILL_SHARE = 1.1


@dataclass(frozen=True, slots=True)
class CrashJob:
    """How often to kill, how many documents each round sends, and the seed of the moments."""

    kills: int = 30
    documents: int = 200
    seed: int = 0


@dataclass(slots=True)
class Journal:
    """What the client knows: per document the newest edition sent and the newest acknowledged; -1 for none.

    told: set by the next acknowledgement.
    """

    sent: dict[str, int] = field(default_factory=dict)
    acknowledged: dict[str, int] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    told: threading.Event = field(default_factory=threading.Event)

    def send(self, ids: Sequence[str], edition: int) -> None:
        """Note that an edition is on its way."""
        with self.lock:
            self.sent.update(dict.fromkeys(ids, edition))

    def acknowledge(self, ids: Sequence[str], edition: int) -> None:
        """Note that the service said it is stored."""
        with self.lock:
            self.acknowledged.update(dict.fromkeys(ids, edition))
        self.told.set()


@dataclass(slots=True)
class Faults:
    """What must be 0, with an example of each."""

    missing: int = 0
    half: int = 0
    mixed: int = 0
    duplicates: int = 0
    examples: list[str] = field(default_factory=list)


def crash(job: CrashJob) -> Report:
    """Kill, restart and look `job.kills` times; return the counts. Raises: `BenchError` if a restart fails."""
    journal, faults, moments = Journal(), Faults(), random.Random(job.seed)  # noqa: S311
    ids = [f"doc/{n}" for n in range(job.documents)]
    acknowledged = 0
    with tempfile.TemporaryDirectory(prefix="ragopt-crash-") as scratch:
        folder = Path(scratch)
        whole_s = warmed_up(folder, ids, journal)
        for edition in range(1, job.kills + 1):
            before = sum(journal.acknowledged.values())
            delay_s = moments.uniform(0, LATEST_KILL_SHARE * whole_s)
            with running_service(folder, data_dir=folder / "data") as service:
                inspect(service, ids, journal=journal, faults=faults)
                ingest_until_killed(service, ids, edition=edition, journal=journal, kill=(folder / "data", delay_s))
            acknowledged += sum(journal.acknowledged.values()) > before
        with running_service(folder, data_dir=folder / "data") as service:
            inspect(service, ids, journal=journal, faults=faults)
    counts = {"missing": faults.missing, "half": faults.half, "mixed": faults.mixed, "duplicates": faults.duplicates}
    failures = tuple(faults.examples)
    metrics = {name: exact(count) for name, count in {"rounds_with_acknowledgements": acknowledged, **counts}.items()}
    config = {"kills": job.kills, "documents": job.documents}
    return Report("crash", "generated", job.kills, job.seed, config, metrics, failures=failures)


def warmed_up(folder: Path, ids: Sequence[str], journal: Journal) -> float:
    """Return the seconds that an undisturbed ingest of edition 0 takes, from a service that just started."""
    with running_service(folder, data_dir=folder / "data") as service:
        started = time.perf_counter()
        ingest(service, ids, edition=0, journal=journal)
    if len(journal.acknowledged) < len(ids):
        raise BenchError("an undisturbed ingest was not acknowledged whole")
    return time.perf_counter() - started


def ingest_until_killed(
    service: RunningService, ids: Sequence[str], *, edition: int, journal: Journal, kill: tuple[Path, float]
) -> None:
    """Send an edition of every document and kill the service `kill[1]` seconds after the first byte.

    Of an even edition, after the first acknowledgement.
    """
    data_dir, delay_s = kill
    running = read_running(data_dir)
    if running is None:
        raise BenchError("the service does not hold its data dir")
    pid = running.pid
    journal.told.clear()

    def late() -> None:
        if edition % 2 == 0:
            journal.told.wait(REQUEST_TIMEOUT_S)
        time.sleep(delay_s)
        os.kill(pid, signal.SIGKILL)

    killer = threading.Thread(target=late)
    killer.start()
    ingest(service, ids, edition=edition, journal=journal)
    killer.join()


def ingest(service: RunningService, ids: Sequence[str], *, edition: int, journal: Journal) -> None:
    """Send an edition of every document from several senders; even editions one by one, odd ones in batches."""
    size = BATCH_DOCUMENTS if edition % 2 else 1
    batches = [ids[at : at + size] for at in range(0, len(ids), size)]

    def send(batch: Sequence[str]) -> None:
        documents = [{"id": name, "text": text_of(name, edition)} for name in batch]
        journal.send(batch, edition)
        try:
            answer = client.post("/ingest", json={"documents": documents})
        except httpx.TransportError:
            return
        if answer.status_code == httpx.codes.OK:
            journal.acknowledge(batch, edition)

    with (
        httpx.Client(base_url=service.url, headers=service.headers(), timeout=REQUEST_TIMEOUT_S) as client,
        ThreadPoolExecutor(SENDERS) as senders,
    ):
        list(senders.map(send, batches))


def text_of(name: str, edition: int) -> str:
    """Return an edition's text: every sentence names its document, its edition and its place."""
    return " ".join(f"Sentence {n} of edition {edition} of {name} stands here." for n in range(SENTENCES))


def inspect(service: RunningService, ids: Sequence[str], *, journal: Journal, faults: Faults) -> None:
    """Look at every document: is it there, whole, of one edition, and searchable as that edition only."""
    with httpx.Client(base_url=service.url, headers=service.headers(), timeout=REQUEST_TIMEOUT_S) as client:
        listing = client.get("/documents")
        listed = [item["id"] for item in listing.json()["documents"]] if listing.status_code == httpx.codes.OK else []
        doubled = len(listed) - len(set(listed))
        count(faults, "duplicates", doubled, f"{doubled} ids are listed twice")
        for name in ids:
            inspect_document(client, name, journal=journal, faults=faults)


def inspect_document(client: httpx.Client, name: str, *, journal: Journal, faults: Faults) -> None:
    """Count what is wrong with one document."""
    oldest, newest = journal.acknowledged.get(name, -1), journal.sent.get(name, -1)
    answer = client.get(f"/documents/{name.replace('/', '%2F')}")
    if answer.status_code != httpx.codes.OK:
        count(faults, "missing", int(oldest >= 0), f"{name}: edition {oldest} was acknowledged and is gone")
        return
    stored = answer.json()
    editions = [edition for edition in range(newest + 1) if text_of(name, edition) == stored["text"]]
    covered = " ".join(stored["text"][chunk["start"] : chunk["end"]] for chunk in stored["chunks"])
    if not editions or covered.split() != stored["text"].split():
        count(faults, "half", 1, f"{name}: the stored text is no edition, or its chunks do not cover it")
        return
    count(faults, "missing", int(editions[0] < oldest), f"{name}: edition {editions[0]} is live, {oldest} was promised")
    found = client.post("/context", json={"question": f"sentence of {name}", "token_budget": 2_000, "top_k": 200})
    passages = [item for item in found.json()["passages"] if item["document_id"] == name]
    stale = [item for item in passages if item["version"] != stored["version"]]
    count(faults, "mixed", int(bool(stale)), f"{name}: a search finds version {[item['version'] for item in stale]}")
    doubled = len(passages) - len({item["chunk_id"] for item in passages})
    count(faults, "duplicates", doubled, f"{name}: a search finds a chunk twice")


def count(faults: Faults, kind: str, number: int, example: str) -> None:
    """Add `number` faults of a kind, with the example if there are any."""
    if number:
        setattr(faults, kind, getattr(faults, kind) + number)
        faults.examples.append(example)
