"""GET /metrics: what Prometheus reads; and what only the moment of reading knows."""

from __future__ import annotations

import hmac
from collections.abc import Iterator

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ragopt.api.admission import CLASSES
from ragopt.api.running import Running, running
from ragopt.api.security import bearer_key
from ragopt.errors import MissingKey

BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}
router = APIRouter(tags=["health"])


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Return the counters in Prometheus' text format; open, unless `RAGOPT_METRICS_KEY` asks for a bearer key."""
    shared = running(request)
    wanted = shared.service.settings.metrics_key
    if wanted is not None:
        presented = bearer_key(request.headers.get("authorization", ""))
        if not hmac.compare_digest(presented.encode(), wanted.get_secret_value().encode()):
            raise MissingKey("The key is not that of RAGOPT_METRICS_KEY.")
    return Response(shared.metrics.text(), media_type=CONTENT_TYPE_LATEST)


class Moment(Collector):
    """Queues, breakers, lag and what waits to be written, as they are when they are read."""

    def __init__(self, shared: Running) -> None:
        self._shared = shared

    def collect(self) -> Iterator[Metric]:
        """Yield each as Prometheus takes it."""
        shared = self._shared
        waiting = GaugeMetricFamily("ragopt_waiting", "requests that wait for a place", labels=["pool", "work"])
        inside = GaugeMetricFamily("ragopt_places_taken", "places that are taken", labels=["pool", "work"])
        for pool, admission in (("questions", shared.questions), ("ingests", shared.ingests)):
            for work in CLASSES:
                waiting.add_metric([pool, work], admission.waiting(work))
                inside.add_metric([pool, work], admission.inside(work))
        breakers = GaugeMetricFamily(
            "ragopt_breaker_state", "circuit breaker: 0 closed, 1 half open, 2 open", labels=["model"]
        )
        for model, state in shared.service.breakers().items():
            breakers.add_metric([model], BREAKER_STATES[state])
        yield from (waiting, inside, breakers)
        yield GaugeMetricFamily("ragopt_open_requests", "requests under way", shared.lifetime.open_requests)
        yield GaugeMetricFamily(
            "ragopt_loop_lag_seconds", "most that the event loop was late in 5 s", shared.lag.worst_s
        )
        yield self._cost_alarms()
        outbox = shared.service.accounts.outbox
        yield GaugeMetricFamily("ragopt_writes_waiting", "writes that Redis has not confirmed", outbox.waiting)
        yield CounterMetricFamily("ragopt_writes_lost", "writes that were given up", outbox.dropped)

    def _cost_alarms(self) -> Metric:
        """Return the alarms that were told; a kind without any is 0, so that its first one shows as an increase."""
        told = CounterMetricFamily(
            "ragopt_cost_alarms", "days on which an answer cost more, on average, than it may", labels=["kind"]
        )
        for kind, count in self._shared.service.accounts.costs.told.items():
            told.add_metric([kind], count)
        return told
