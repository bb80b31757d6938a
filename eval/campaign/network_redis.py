"""The way to Redis slowed, paused, refused and cut under traffic: what needs no Redis goes on, the rest says so."""

from __future__ import annotations

import asyncio
import json
import random
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import httpx

from eval.bench.service import RunningService, running_service
from eval.campaign.experiment import Size
from eval.campaign.inspecting import Known, client_of, inspect
from eval.campaign.journal import text_of
from eval.campaign.proxy import FAIR, Proxy, Weather, proxied
from eval.campaign.traffic import NAMES, Traffic, ingest, traffic
from eval.intervals import exact
from eval.report import Report, Segment
from eval.stub import StubServer, serve_in_thread
from ragopt.config import runtime_dir
from ragopt.state.client import connect
from ragopt.state.keys import KeyStore
from ragopt.state.redis_process import recorded_socket
from ragopt.state.redis_server import EmbeddedRedis

ROUNDS = 6
LASTS_S = 2.0
DEADLINE_S = 8.0
# Beyond the deadline: closing connections, and a machine that is busy.
GRACE_S = 2.0
RECOVERS_S = 20.0
FLAP_S = 0.05
FLAPPING = "flapping"
WEATHERS: Mapping[str, Weather] = MappingProxyType(
    {
        "slow": Weather(delay_s=0.03),
        "too slow": Weather(delay_s=0.8),
        "paused": Weather(paused=True),
        "refused": Weather(refused=True),
        "cut": Weather(cut_after=64),
        "trickle": Weather(bytes_per_s=2_000, piece_bytes=16),
        FLAPPING: Weather(refused=True),
    }
)
FAULTS = ("lost", "phantom", "duplicate", "mixed", "half", "torn", "refused", "untyped", "late", "not_recovered")


@dataclass(frozen=True, slots=True)
class Promise:
    """A request, and what may come of it while Redis is out of reach: statuses, and codes of problems beside them."""

    name: str
    method: str
    path: str
    body: Mapping[str, object] | None = None
    tenant: str = "default"
    statuses: tuple[int, ...] = (200,)
    codes: tuple[str, ...] = ()


QUESTION = "What does sentence 1 of doc-03 say?"
ASKED = {"question": QUESTION, "cache": "off"}
PROMISES = (
    Promise("context", "POST", "/context", {"question": QUESTION}),
    Promise("uncached answer", "POST", "/answer", ASKED),
    Promise("conversation", "POST", "/answer", {**ASKED, "conversation_id": "c"}, codes=("conversation_unavailable",)),
    Promise("hard budget, refuses", "POST", "/answer", ASKED, "strict", codes=("budget_unreachable",)),
    Promise("hard budget, extracts", "POST", "/answer", ASKED, "frugal"),
    Promise(
        "queued ingest",
        "POST",
        "/ingest",
        {"documents": [{"id": "queued", "text": "Queued."}], "collection": "queued", "wait": False},
        statuses=(202,),
        codes=("state_unavailable",),
    ),
    Promise("spend", "GET", "/stats", codes=("state_unavailable",)),
    Promise("ready", "GET", "/readyz"),
)
BUDGETS = (
    {"scope": "tenant", "name": "strict", "usd_per_month": 1000, "when_spent": "refuse"},
    {"scope": "tenant", "name": "frugal", "usd_per_month": 1000, "when_spent": "extractive"},
)


@dataclass(slots=True)
class Bad:
    """One run: what the clients know, and how long requests took, by weather. keys: of the tenants beside `default`."""

    known: Known
    proxy: Proxy
    keys: Mapping[str, str]
    asked: int = 0
    degraded: int = 0
    took_s: dict[str, list[float]] = field(default_factory=dict)


def redis_network(size: Size, *, weathers: Mapping[str, Weather] = WEATHERS) -> Report:
    """Return what became of requests in each weather. Raises: `BenchError` if the service does not come up."""
    rounds = size.of(ROUNDS)
    with (
        tempfile.TemporaryDirectory(prefix="ragopt-redis-") as scratch,
        serve_in_thread() as stub,
        own_redis(Path(scratch) / "redis") as server,
        proxied(recorded_socket(Path(scratch) / "redis")) as proxy,
        served(Path(scratch), proxy, stub) as service,
    ):
        bad = Bad(Known(Path(scratch), random.Random(size.seed)), proxy, asyncio.run(made_keys(server)))  # noqa: S311
        stock(bad, service)
        for number, name in enumerate(list(weathers) * rounds):
            one_weather(bad, service, name, weathers[name], number=number)
        inspect(bad.known, service)
    return reported(bad, rounds * len(weathers), seed=size.seed)


def stock(bad: Bad, service: RunningService) -> None:
    """Give every tenant something to ask for."""
    with client_of(service) as client:
        ingest(Traffic(service, bad.known.journal, bad.known.faults), client, NAMES)
    for key in bad.keys.values():
        with client_of(replace(service, key=key)) as client:
            documents = [{"id": "doc-03", "text": text_of("doc-03", 1)}]
            client.post("/ingest", json={"documents": documents}).raise_for_status()


def reported(bad: Bad, rounds: int, *, seed: int) -> Report:
    """Return the report of a run."""
    faults = bad.known.faults
    counts = {"outages": rounds, "requests": bad.asked, "refused_as_promised": bad.degraded}
    metrics = {
        name: exact(value) for name, value in {**counts, **{kind: faults.counts[kind] for kind in FAULTS}}.items()
    }
    slowest = {name: max(values) for name, values in bad.took_s.items()}
    metrics["slowest_s"] = exact(round(max(slowest.values()), 2))
    segments = {
        name: Segment(len(bad.took_s[name]), {"slowest_s": exact(round(value, 2))}) for name, value in slowest.items()
    }
    config = {"deadline_s": DEADLINE_S, "lasts_s": LASTS_S}
    return Report(
        "redis", "generated", rounds, seed, config, metrics, segments=segments, failures=tuple(faults.examples)
    )


@contextmanager
def own_redis(folder: Path) -> Iterator[EmbeddedRedis]:
    """Yield a Redis of this run alone."""
    server = EmbeddedRedis.attach(folder, runtime_dir=runtime_dir())
    try:
        yield server
    finally:
        server.stop()


async def made_keys(server: EmbeddedRedis) -> dict[str, str]:
    """Return the key of each tenant that has a hard budget."""
    redis = connect(server.url, timeout_s=5)
    try:
        store = KeyStore(redis, bootstrap=None)
        names = [str(budget["name"]) for budget in BUDGETS]
        return {name: (await store.create(name, name, scopes=("ingest", "query", "admin")))[1] for name in names}
    finally:
        await redis.aclose()


@contextmanager
def served(folder: Path, proxy: Proxy, stub: StubServer) -> Iterator[RunningService]:
    """Yield the service, whose Redis is behind the proxy and whose model is at the stub."""
    model = {"name": "main", "provider": "openai", "model": "gpt-4o-mini", "base_url": stub.openai_url}
    settings = {
        "RAGOPT_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0",
        "RAGOPT_MODELS": json.dumps([model]),
        "RAGOPT_BUDGETS": json.dumps(BUDGETS),
        "RAGOPT_REQUEST_TIMEOUT_S": str(DEADLINE_S),
        "OPENAI_API_KEY": "sk-evaluation",
    }
    with running_service(folder, data_dir=folder / "data", settings=settings) as service:
        yield service


def one_weather(bad: Bad, service: RunningService, name: str, weather: Weather, *, number: int) -> None:
    """Let the weather turn bad under traffic, hold the service to what it promises, and wait until it is well again."""
    faults = bad.known.faults
    clients = Traffic(service, bad.known.journal, faults, lasting=True)
    with keys_known(bad, service), traffic(clients, seed=f"{number}") as shared:
        bad.proxy.weather = weather
        ended = threading.Event()
        flapping = threading.Thread(target=flap, args=(bad.proxy, ended)) if name == FLAPPING else None
        if flapping is not None:
            flapping.start()
        try:
            until = time.monotonic() + LASTS_S
            hold_to_promises(bad, service, name)
            time.sleep(max(0.0, until - time.monotonic()))
        finally:
            ended.set()
            if flapping is not None:
                flapping.join()
            bad.proxy.weather = FAIR
    bad.asked += shared.asked
    faults.note("torn", f"{name}: connections to the service broke", shared.cut)
    took_s = recovered_after(service)
    if took_s is None:
        faults.note("not_recovered", f"{name}: not well again {RECOVERS_S:g} s after the weather was")


def flap(proxy: Proxy, ended: threading.Event) -> None:
    """Turn the weather from bad to fair and back until told to end."""
    bad = proxy.weather
    while not ended.wait(FLAP_S):
        proxy.weather = FAIR if proxy.weather == bad else bad


@contextmanager
def keys_known(bad: Bad, service: RunningService) -> Iterator[None]:
    """Use every key once, so that the service holds a copy of it when the block begins."""
    for key in bad.keys.values():
        with client_of(replace(service, key=key)) as client:
            client.get("/stats").raise_for_status()
    yield


def hold_to_promises(bad: Bad, service: RunningService, weather: str) -> None:
    """Send each request once, in an order drawn at random."""
    promises = list(PROMISES)
    bad.known.draw.shuffle(promises)
    for promise in promises:
        key = bad.keys.get(promise.tenant, service.key)
        with client_of(replace(service, key=key)) as client:
            started = time.perf_counter()
            answer = client.request(promise.method, promise.path, json=promise.body)
            took_s = time.perf_counter() - started
        bad.asked += 1
        bad.took_s.setdefault(weather, []).append(took_s)
        judge(bad, promise, answer, f"{weather}, {promise.name}")
        if took_s > DEADLINE_S + GRACE_S:
            bad.known.faults.note("late", f"{weather}, {promise.name}: {took_s:.1f} s")


def judge(bad: Bad, promise: Promise, answer: httpx.Response, what: str) -> None:
    """Count an answer that is neither what was asked for nor a problem that is promised."""
    if answer.status_code in promise.statuses:
        return
    try:
        problem = answer.json()
    except ValueError:
        problem = {}
    if not answer.headers.get("content-type", "").startswith("application/problem+json") or "code" not in problem:
        bad.known.faults.note("untyped", f"{what}: {answer.status_code} {answer.text[:200]}")
    elif problem["code"] == "internal_error":
        bad.known.faults.note("untyped", f"{what}: {answer.text[:200]}")
    elif problem["code"] in promise.codes:
        bad.degraded += 1
    else:
        bad.known.faults.note("refused", f"{what}: {answer.status_code} {answer.text[:200]}")


def recovered_after(service: RunningService) -> float | None:
    """Return after how many seconds everything works again, None if that takes too long."""
    started = time.monotonic()
    body = {**ASKED, "conversation_id": "after"}
    with client_of(service) as client:
        while time.monotonic() - started < RECOVERS_S:
            if client.get("/readyz").json()["status"] == "ok" and client.post("/answer", json=body).is_success:
                return time.monotonic() - started
            time.sleep(0.05)
    return None
