"""What was seen of each variant, added up in Redis, and which variants a guard has ended."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from redis.asyncio import Redis

from ragopt.errors import StateUnavailable
from ragopt.experiments.judging import LossSums, verdict
from ragopt.settings.experiments import ExperimentSettings, Loss
from ragopt.state.access import as_bytes, redis_errors, redis_key
from ragopt.state.outbox import Outbox, Write

LOGGER = logging.getLogger("ragopt.experiments")
LOSSES: tuple[Loss, ...] = ("cost_usd", "latency_ms", "abstained", "unsupported", "partial", "disliked")
# How old the copy of what was stopped may be, and how often guards are looked at.
COPY_S = 5.0
STOPPED = redis_key("experiments-stopped")

# KEYS: the sums, the mark of this answer. ARGV: the variant, seconds the mark lives, then field and amount in turn.
# The mark makes a second run of the same write change nothing, and tells which variant an answer was of.
ADD = """
if not redis.call('SET', KEYS[2], ARGV[1], 'NX', 'EX', ARGV[2]) then return 0 end
for i = 3, #ARGV, 2 do redis.call('HINCRBYFLOAT', KEYS[1], ARGV[i], ARGV[i + 1]) end
return 1
"""
# How long an answer may still be rated.
MARK_S = 30 * 86_400


class Experiments:
    """The sums of every variant. Seeing never fails and never waits; reading raises `StateUnavailable`."""

    def __init__(
        self,
        redis: Redis,
        outbox: Outbox,
        settings: Sequence[ExperimentSettings],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._redis = redis
        self._outbox = outbox
        self._clock = clock
        self._stopped: frozenset[str] = frozenset()
        self._looked_at = -COPY_S

    def saw(self, experiment: str, variant: str, *, answer_id: str, losses: Mapping[Loss, float]) -> None:
        """Add what one answer lost, once for each answer."""
        fields: list[str | float] = []
        for loss, value in losses.items():
            fields += [f"{loss}:n", 1, f"{loss}:sum", value, f"{loss}:squares", value * value]
        keys = (sums_key(experiment, variant), mark_key(experiment, answer_id))
        self._outbox.put(Write(ADD, keys, (variant, MARK_S, *fields)))

    async def rated(self, answer_id: str, *, liked: bool) -> None:
        """Add what a caller thought of an answer, the first rating alone. Raises: `StateUnavailable`."""
        for experiment in self.settings:
            with redis_errors():
                variant = await self._redis.get(mark_key(experiment.name, answer_id))
            if variant is not None:
                lost: dict[Loss, float] = {"disliked": 0.0 if liked else 1.0}
                self.saw(experiment.name, as_bytes(variant).decode(), answer_id=f"{answer_id}/rating", losses=lost)

    async def sums(self, experiment: str, variant: str) -> dict[Loss, LossSums]:
        """Return every loss of a variant. Raises: `StateUnavailable`."""
        with redis_errors():
            stored = await self._redis.hgetall(sums_key(experiment, variant))
        read = {as_bytes(name).decode(): float(value) for name, value in stored.items()}
        return {
            loss: LossSums(
                round(read.get(f"{loss}:n", 0)), read.get(f"{loss}:sum", 0.0), read.get(f"{loss}:squares", 0.0)
            )
            for loss in LOSSES
        }

    async def stopped(self) -> frozenset[str]:
        """Return the names `experiment/variant` that a guard has ended; while Redis is down, what was last known.

        Looks at the guards first, at most every five seconds.
        """
        if not self.settings or self._clock() - self._looked_at < COPY_S:
            return self._stopped
        self._looked_at = self._clock()
        try:
            for experiment in self.settings:
                await self._look(experiment)
            with redis_errors():
                self._stopped = frozenset(as_bytes(name).decode() for name in await self._redis.smembers(STOPPED))
        except StateUnavailable as error:
            LOGGER.warning("the guards of experiments were not looked at: %s", error)
        return self._stopped

    async def _look(self, experiment: ExperimentSettings) -> None:
        """End the variants that a guard is surely passed by. Raises: `StateUnavailable`."""
        control, *others = [(item.name, await self.sums(experiment.name, item.name)) for item in experiment.variants]
        for name, seen in others:
            pairs = {loss: (seen[loss], control[1][loss]) for loss in LOSSES}
            if verdict(pairs, experiment) == "stopped":
                with redis_errors():
                    added = await self._redis.sadd(STOPPED, f"{experiment.name}/{name}")
                if added:
                    LOGGER.error("experiment %s: a guard ended the variant %s", experiment.name, name)


def mark_key(experiment: str, answer_id: str) -> str:
    """Return where it is marked that an answer was added."""
    return redis_key("experiment-seen", experiment, answer_id)


def sums_key(experiment: str, variant: str) -> str:
    """Return where the sums of a variant are."""
    return redis_key("experiment", experiment, variant)
