"""GET /metrics over HTTP, and the probe of the event loop."""

from __future__ import annotations

import asyncio
import time

from pydantic import SecretStr

from ragopt.api.lag import LoopLag
from ragopt.config import Settings
from ragopt.errors import BudgetSpent
from tests.ragopt.api.fakes import FakeService, Served, eventually, served

QUESTION = {"question": "Is the sky blue?", "labels": {"user": "ann", "team": "hr"}}


def scraped(http: Served) -> dict[str, float]:
    """Return every sample by its line."""
    lines = http.get("/metrics", key=None).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
    return {name: float(value) for name, _, value in pairs}


def test_requests_show_up_by_route_and_outcome() -> None:
    """Answers, refusals, the end of a stream, and paths that are none; never a user."""
    with served() as http:
        http.post("/answer", QUESTION)
        http.service.pipeline.refusal = BudgetSpent("spent")
        http.post("/answer", QUESTION)
        http.service.pipeline.refusal = None
        http.service.pipeline.failure = BudgetSpent("spent")
        http.events(QUESTION)
        http.get("/no/such/path")
        http.post("/ingest", {"documents": [{"text": "The sky is blue."}]})
        eventually(lambda: http.lifetime.open_requests == 0)
        samples = scraped(http)
        text = http.get("/metrics", key=None).text
    assert samples['ragopt_requests_total{outcome="ok",route="/answer"}'] == 1
    assert samples['ragopt_requests_total{outcome="budget_spent",route="/answer"}'] == 2
    assert samples['ragopt_requests_total{outcome="not_found",route="other"}'] == 1
    assert samples['ragopt_answers_total{feature="",model="extractive",team="hr",tier="simple"}'] == 1
    assert samples['ragopt_ingested_documents_total{status="created"}'] == 1
    assert "ann" not in text
    assert "no/such" not in text


def test_what_only_the_moment_knows_is_told() -> None:
    """Breakers, places, queues, alarms on costs, writes that wait, and the lag of the loop."""
    with served() as http:
        http.service.accounts.outbox.waiting = 3
        samples = scraped(http)
    assert samples['ragopt_breaker_state{model="small"}'] == 2
    assert samples['ragopt_breaker_state{model="large"}'] == 0
    assert samples['ragopt_waiting{pool="questions",work="background"}'] == 0
    assert samples["ragopt_writes_waiting"] == 3
    assert samples['ragopt_cost_alarms_total{kind="cost_drift"}'] == 0
    assert samples['ragopt_cost_alarms_total{kind="cost_target"}'] == 2
    assert samples["ragopt_open_requests"] == 1
    assert samples["ragopt_loop_lag_seconds"] >= 0
    assert "process_resident_memory_bytes" in samples


def test_metrics_may_ask_for_a_key() -> None:
    """With `RAGOPT_METRICS_KEY` only who presents it may read; an API key is none."""
    with served(FakeService(settings=Settings(metrics_key=SecretStr("scrape-me")))) as http:
        statuses = [http.get("/metrics", key=key).status_code for key in (None, "key-of-acme", "scrape-me")]
    assert statuses == [401, 401, 200]


def test_healthz_tells_the_lag(http: Served) -> None:
    """A process that lives says how late its loop was at most."""
    health = http.get("/healthz", key=None).json()
    assert health["status"] == "ok"
    assert health["loop_lag_ms"] >= 0


def test_a_loop_that_is_held_up_is_late() -> None:
    """Work that does not yield shows as the lateness of the next probe, and is forgotten after some more."""

    async def scenario() -> tuple[float, float]:
        lag = LoopLag(every_s=0.002)
        async with lag.probing():
            await asyncio.sleep(0.01)
            time.sleep(0.2)  # noqa: ASYNC251 - this is what is measured
            await asyncio.sleep(0.01)
            stalled = lag.worst_s
            await asyncio.sleep(0.2)
            return stalled, lag.worst_s

    stalled, later = asyncio.run(scenario())
    assert stalled > 0.1
    assert later < stalled
