"""Service and embedded Redis killed with -9 under mixed traffic; after each restart every document is looked at."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from tqdm import tqdm

from eval.bench.service import RunningService, running_service
from eval.campaign.experiment import Size
from eval.campaign.inspecting import Known, client_of, inspect
from eval.campaign.traffic import NAMES, Traffic, ingest, put, traffic
from eval.intervals import exact
from eval.report import Report
from ragopt.errors import StateUnavailable
from ragopt.state.redis_process import recorded_socket, server_pid

Victim: TypeAlias = Literal["service", "redis", "both"]

KILLS = 200
# Of so many kills at least one falls into an operation, or the clients are not at work.
ENOUGH = 20
# In a hundred kills. With `both` the Redis dies first: the service sees it go, and dies in what it does about it.
VICTIMS: Mapping[Victim, int] = {"service": 60, "redis": 25, "both": 15}
LATEST_KILL_S = 2.0
# A Redis that died is started again by the service: so long it may take, with what it has to read.
BACK_WITHIN_S = 20.0
FAULTS = ("lost", "phantom", "duplicate", "mixed", "half", "torn", "refused", "untyped", "not_back")


@dataclass(slots=True)
class Run:
    """One run of kills: what is known, and what was done. again: ingests that the last kill left unanswered."""

    known: Known
    killed: Counter[str] = field(default_factory=Counter)
    asked: int = 0
    cut: int = 0
    unanswered: int = 0
    slowest_start_s: float = 0.0
    slowest_return_s: float = 0.0
    again: dict[int, list[str]] = field(default_factory=dict)
    sent_again: int = 0


def kills(size: Size) -> Report:
    """Kill, restart and look. Raises: `BenchError` if a service does not come up again."""
    count = size.of(KILLS, least=3)
    with tempfile.TemporaryDirectory(prefix="ragopt-kills-") as scratch:
        run = Run(Known(Path(scratch), random.Random(size.seed)))  # noqa: S311
        with served(run) as service, client_of(service) as client:
            ingest(Traffic(service, run.known.journal, run.known.faults), client, NAMES)
        for number in tqdm(range(count), desc="kills"):
            victim = next_victim(run.known.draw, number)
            with served(run) as service:
                inspect(run.known, service)
                send_again(run, service)
                one_kill(run, service, victim, number=number)
        with served(run) as service:
            inspect(run.known, service)
    counts = {
        "kills": count,
        **{f"kills_of_{victim}": run.killed[victim] for victim in VICTIMS},
        "operations": run.known.journal.operations,
        "acknowledged": run.known.journal.acknowledged,
        "unanswered": run.unanswered,
        "sent_again": run.sent_again,
        "answers_looked_at": run.asked,
        **{kind: run.known.faults.counts[kind] for kind in FAULTS},
    }
    metrics = {name: exact(value) for name, value in counts.items()}
    metrics["slowest_start_s"] = exact(round(run.slowest_start_s, 2))
    metrics["slowest_return_of_redis_s"] = exact(round(run.slowest_return_s, 2))
    failures = list(run.known.faults.examples)
    if count >= ENOUGH and not run.unanswered:
        failures.append("no kill fell into an operation: nothing was tried")
    return Report("kills", "generated", count, size.seed, {"documents": len(NAMES)}, metrics, failures=tuple(failures))


def next_victim(draw: random.Random, number: int) -> Victim:
    """Return what the kill of this number hits: each once first, and then as `VICTIMS` says."""
    every = list(VICTIMS)
    return every[number] if number < len(every) else draw.choices(every, list(VICTIMS.values()))[0]


def served(run: Run) -> AbstractContextManager[RunningService]:
    """Return the service over the data dir of the run."""
    return running_service(run.known.folder, data_dir=run.known.folder / "data")


def one_kill(run: Run, service: RunningService, victim: Victim, *, number: int) -> None:
    """Keep clients busy, kill at a random moment, and wait until they have noticed."""
    redis_pid = redis_of(run)
    clients = Traffic(
        service, run.known.journal, run.known.faults, lasting=victim == "redis", keyed=victim == "service"
    )
    with traffic(clients, seed=f"{number}") as shared:
        time.sleep(run.known.draw.uniform(0, LATEST_KILL_S))
        if victim != "service":
            os.kill(redis_pid, signal.SIGKILL)
        if victim == "redis":
            watch_return(run, service, died=redis_pid)
        elif victim == "both":
            time.sleep(run.known.draw.uniform(0, 0.3))
        if victim != "redis":
            os.kill(service.pid, signal.SIGKILL)
    run.again = clients.unanswered if clients.keyed else {}
    run.killed[victim] += 1
    run.asked += shared.asked
    run.cut += shared.cut
    run.slowest_start_s = max(run.slowest_start_s, service.ready_s)
    run.unanswered += any(fate.pending for fate in run.known.journal.snapshot().values())
    if victim == "redis" and run.known.draw.random() < 0.5:
        os.kill(service.pid, signal.SIGKILL)


def redis_of(run: Run) -> int:
    """Return the process id of the embedded Redis, 0 while it does not answer."""
    try:
        return server_pid(recorded_socket(run.known.folder / "data" / "redis"))
    except StateUnavailable:
        return 0


def watch_return(run: Run, service: RunningService, *, died: int) -> None:
    """Wait until the Redis that died is back, while the clients go on; count a service that stays without it."""
    began, asked = time.monotonic(), {"question": "What does sentence 1 say?", "conversation_id": "c"}
    with client_of(service) as client:
        while time.monotonic() - began < BACK_WITHIN_S:
            told = client.post("/answer", json=asked)
            back = told.is_success and redis_of(run) not in (0, died)
            if back and client.get("/readyz").json()["status"] == "ok":
                run.slowest_return_s = max(run.slowest_return_s, time.monotonic() - began)
                return
            if not told.is_success and told.json().get("code") != "conversation_unavailable":
                run.known.faults.note("refused", f"without Redis, a conversation: {told.status_code} {told.text[:200]}")
            time.sleep(0.05)
    run.known.faults.note("not_back", f"Redis was not back after {BACK_WITHIN_S:g} s")


def send_again(run: Run, service: RunningService) -> None:
    """Send what was not answered before the kill once more, under the same Idempotency-Key: it is stored once."""
    clients = Traffic(service, run.known.journal, run.known.faults, keyed=True)
    with client_of(service) as client:
        for operation, names in run.again.items():
            run.known.journal.again(names, operation)
            put(clients, client, names, operation)
            run.sent_again += 1
    if run.again:
        inspect(run.known, service)
