"""The way to Qdrant slowed, paused, refused and cut under traffic: an answer is grounded, or an error says so."""

from __future__ import annotations

import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from eval.bench.service import RunningService, running_service
from eval.campaign.experiment import Size
from eval.campaign.inspecting import Known, client_of, inspect
from eval.campaign.proxy import FAIR, HOST, Address, Proxy, Weather, proxied
from eval.campaign.qdrant_server import qdrant_served
from eval.campaign.traffic import NAMES, Traffic, ingest, traffic
from eval.intervals import exact
from eval.report import ConfigValue, Report

ROUNDS = 6
LASTS_S = 2.0
DEADLINE_S = 15.0
RECOVERS_S = 30.0
QDRANT_PORT = 6333
WEATHERS: Mapping[str, Weather] = MappingProxyType(
    {
        "slow": Weather(delay_s=0.02),
        "paused": Weather(paused=True),
        "refused": Weather(refused=True),
        "cut": Weather(cut_after=100),
        "cut later": Weather(cut_after=2_000),
    }
)
# Without these nothing can be answered: the weathers in which `/readyz` must not say that questions can be.
OUTAGES = ("refused",)
CODES = frozenset({"retrieval_unavailable", "overloaded", "deadline_exceeded"})
FAULTS = ("lost", "phantom", "duplicate", "mixed", "half", "torn", "refused", "untyped", "ready", "not_recovered")


@dataclass(slots=True)
class Outages:
    """What one run came to."""

    known: Known
    proxy: Proxy
    asked: int = 0
    held: int = 0


def qdrant_network(size: Size, *, weathers: Mapping[str, Weather] = WEATHERS, url: str = "") -> Report:
    """Return what became of requests in each weather; url: of a real server in place of the stand-in.

    Raises: `BenchError` if the service does not come up.
    """
    rounds = size.of(ROUNDS)
    with (
        tempfile.TemporaryDirectory(prefix="ragopt-qdrant-") as scratch,
        upstream(url) as there,
        proxied(there) as proxy,
    ):
        run = Outages(Known(Path(scratch), random.Random(size.seed)), proxy)  # noqa: S311
        settings = {
            "RAGOPT_QDRANT_URL": f"http://127.0.0.1:{proxy.port}",
            "RAGOPT_REQUEST_TIMEOUT_S": str(DEADLINE_S),
        }
        with (
            running_service(Path(scratch), data_dir=Path(scratch) / "data", settings=settings) as service,
            client_of(service) as client,
        ):
            ingest(Traffic(service, run.known.journal, run.known.faults), client, NAMES)
            for number, name in enumerate(list(weathers) * rounds):
                one_weather(run, service, name, weathers[name], number=number)
                inspect(run.known, service)
    faults = run.known.faults
    counts = {"outages": rounds * len(weathers), "answers_looked_at": run.asked, "refused_as_promised": run.held}
    counts |= {kind: faults.counts[kind] for kind in FAULTS}
    metrics = {name: exact(value) for name, value in counts.items()}
    config: dict[str, ConfigValue] = {"server": url or "stand-in over local mode", "lasts_s": LASTS_S}
    return Report("qdrant", "generated", run.asked, size.seed, config, metrics, failures=tuple(faults.examples))


@contextmanager
def upstream(url: str) -> Iterator[Address]:
    """Yield where the server behind the proxy listens."""
    if url:
        parts = urlsplit(url)
        yield parts.hostname or HOST, parts.port or QDRANT_PORT
        return
    with qdrant_served() as port:
        yield HOST, port


def one_weather(run: Outages, service: RunningService, name: str, weather: Weather, *, number: int) -> None:
    """Let the weather turn bad under traffic, and wait until the service is well again."""
    faults = run.known.faults
    clients = Traffic(service, run.known.journal, faults, lasting=True, codes=CODES)
    with traffic(clients, seed=f"{number}"):
        time.sleep(run.known.draw.uniform(0, 0.3))
        run.proxy.weather = weather
        bad = threading.Timer(LASTS_S, lambda: setattr(run.proxy, "weather", FAIR))
        bad.start()
        if name in OUTAGES:
            with client_of(service) as client:
                ready = client.get("/readyz")
            faults.note("ready", f"{name}: /readyz says {ready.status_code} {ready.text}", int(ready.is_success))
        bad.join()
    run.asked += clients.asked
    run.held += clients.held
    faults.note("torn", f"{name}: connections to the service broke", clients.cut)
    if not recovers(service):
        faults.note("not_recovered", f"{name}: not well again {RECOVERS_S:g} s after the weather was")


def recovers(service: RunningService) -> bool:
    """Return whether everything works again, waiting for it."""
    until = time.monotonic() + RECOVERS_S
    with client_of(service) as client:
        while time.monotonic() < until:
            body = {"question": "What does sentence 1 of doc-03 say?"}
            if client.get("/readyz").is_success and client.post("/context", json=body).is_success:
                return True
            time.sleep(0.05)
    return False
