"""Mixed traffic for a long time: does the service's memory grow, or the number of its open files and threads."""

from __future__ import annotations

import json
import math
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np

from eval.bench.service import RunningService, running_service
from eval.campaign.experiment import Size
from eval.campaign.inspecting import Known, client_of, inspect
from eval.campaign.traffic import NAMES, Traffic, ingest, traffic
from eval.errors import BenchError
from eval.intervals import Interval, exact
from eval.report import Report
from eval.resident import MIB, resident
from eval.stub import StubOptions, StubServer, serve_in_thread

MINUTES = 30
LEAST_MINUTES = 0.1
SAMPLE_S = 2.0
PAUSE_S = 0.05
# Caches fill and pools grow at first: that is no leak.
WARM_SHARE = 0.3
BLOCKS = 10
# Student's t for 95 % with BLOCKS - 2 degrees of freedom.
T_95 = 2.306
# Steeper than this for certain is growth: a leak of 1 kB a request would be about 100 MiB an hour at this pace.
MAX_MIB_PER_HOUR = 20.0
MAX_FILES_PER_HOUR = 10.0
FAULTS = ("lost", "phantom", "duplicate", "mixed", "half", "torn", "refused", "untyped")


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held at a time, in seconds since the start."""

    at_s: float
    memory_mib: float
    files: int
    threads: int


@dataclass(slots=True)
class Samples:
    """What was seen of the service."""

    pid: int
    began_s: float = field(default_factory=time.monotonic)
    seen: list[Sample] = field(default_factory=list)

    def take(self) -> None:
        """Look at the process now."""
        folder = Path(f"/proc/{self.pid}")
        files = sum(1 for _ in (folder / "fd").iterdir())
        threads = sum(1 for _ in (folder / "task").iterdir())
        memory = resident(self.pid).anonymous_bytes / MIB
        self.seen.append(Sample(time.monotonic() - self.began_s, memory, files, threads))


def soak(size: Size) -> Report:
    """Return the slopes of memory, open files and threads. Raises: `BenchError` if the service does not come up."""
    minutes = max(LEAST_MINUTES, MINUTES * size.share)
    with (
        tempfile.TemporaryDirectory(prefix="ragopt-soak-") as scratch,
        serve_in_thread(StubOptions(delay_ms=20, tokens_per_s=500)) as stub,
    ):
        known = Known(Path(scratch), random.Random(size.seed))  # noqa: S311
        with running_service(Path(scratch), data_dir=Path(scratch) / "data", settings=settings_of(stub)) as service:
            clients = Traffic(service, known.journal, known.faults, pause_s=PAUSE_S)
            with client_of(service) as client:
                ingest(clients, client, NAMES)
            samples = watched(service, clients, minutes=minutes, draw=known.draw)
            inspect(known, service)
    return reported(samples, clients, minutes=minutes, seed=size.seed)


def settings_of(stub: StubServer) -> dict[str, str]:
    """Return the settings of a service whose model is at the stub."""
    model = {"name": "main", "provider": "openai", "model": "gpt-4o-mini", "base_url": stub.openai_url}
    return {"RAGOPT_MODELS": json.dumps([model]), "OPENAI_API_KEY": "sk-evaluation"}


def watched(service: RunningService, clients: Traffic, *, minutes: float, draw: random.Random) -> Samples:
    """Return the samples that were taken while clients of every kind were at work."""
    samples = Samples(service.pid)
    with traffic(clients, seed=f"{draw.random()}"):
        odd = threading.Thread(target=behave_oddly, args=(clients, draw))
        odd.start()
        try:
            until = time.monotonic() + 60 * minutes
            while time.monotonic() < until:
                samples.take()
                time.sleep(min(SAMPLE_S, minutes))
        finally:
            clients.stopping.set()
            odd.join()
    return samples


def behave_oddly(clients: Traffic, draw: random.Random) -> None:
    """Hang up in the middle of answers, hold conversations, and send what is refused, until told to stop."""
    number = 0
    with clients.client() as client:
        while not clients.stopping.is_set():
            number += 1
            asked = {"question": f"What does sentence {number % 8} of {draw.choice(NAMES)} say?"}
            try:
                one_oddity(client, asked, number)
            except httpx.TransportError:
                clients.cut += 1
            time.sleep(PAUSE_S)


def one_oddity(client: httpx.Client, asked: dict[str, str], number: int) -> None:
    """Do one of the things that clients do besides asking and waiting."""
    if number % 4 == 0:
        with client.stream("POST", "/answer", json={**asked, "stream": True, "cache": "off"}) as response:
            next(response.iter_lines(), None)
    elif number % 4 == 1:
        client.post("/answer", json={**asked, "conversation_id": f"c{number % 40}"})
    elif number % 4 == 2:
        client.post("/answer", json={"question": ""})
        client.get("/documents/none")
        client.get("/metrics")
    else:
        files = {"file": (f"{number % 8}.html", f"<p>Page {number} of many.</p>".encode(), "text/html")}
        client.post("/ingest", files=files, data={"collection": f"pages-{number % 3}"})


def reported(samples: Samples, clients: Traffic, *, minutes: float, seed: int) -> Report:
    """Return the report of a run; what grows for certain is in its failures."""
    settled = [sample for sample in samples.seen if sample.at_s >= WARM_SHARE * samples.seen[-1].at_s]
    times = [sample.at_s / 3600 for sample in settled]
    memory = slope(times, [sample.memory_mib for sample in settled])
    files = slope(times, [sample.files for sample in settled])
    threads = slope(times, [sample.threads for sample in settled])
    faults = clients.faults
    failures = list(faults.examples)
    for what, found, most in (("MiB", memory, MAX_MIB_PER_HOUR), ("open files", files, MAX_FILES_PER_HOUR)):
        if found.low > most:
            failures.append(f"{found.value:.0f} {what} more every hour, at least {found.low:.0f}")
    metrics = {
        "minutes": exact(round(minutes, 2)),
        "operations": exact(clients.journal.operations),
        "answers_looked_at": exact(clients.asked),
        "memory_mib_per_hour": memory,
        "open_files_per_hour": files,
        "threads_per_hour": threads,
        "memory_mib_at_end": exact(round(settled[-1].memory_mib, 1)),
        "open_files_at_end": exact(settled[-1].files),
        **{kind: exact(faults.counts[kind]) for kind in FAULTS},
    }
    config = {"pause_s": PAUSE_S, "warm_share": WARM_SHARE}
    return Report("soak", "generated", len(settled), seed, config, metrics, failures=tuple(failures))


def slope(times: Sequence[float], values: Sequence[float]) -> Interval:
    """Return the slope of a straight line through block medians, with its 95 % interval.

    Neighbouring samples are alike; the medians of long blocks are nearly independent. Raises: `BenchError` if there
    are fewer samples than blocks.
    Source: simple linear regression, standard error of the slope.
    """
    if len(times) < BLOCKS:
        raise BenchError(f"{len(times)} samples are too few for a slope")
    x = np.array([block.mean() for block in np.array_split(np.asarray(times, np.float64), BLOCKS)])
    y = np.array([np.median(block) for block in np.array_split(np.asarray(values, np.float64), BLOCKS)])
    spread = float(((x - x.mean()) ** 2).sum())
    value = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    left = y - y.mean() - value * (x - x.mean())
    error = math.sqrt(float((left**2).sum()) / (BLOCKS - 2) / spread)
    return Interval(value, value - T_95 * error, value + T_95 * error)
