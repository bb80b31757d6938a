"""What is written down about money: a row per attempt at a model call, and one per answer with what it saved."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_HALF_UP, Decimal
from typing import TypeAlias

from ragopt.domain import TECHNIQUES, Answer, Outcome, Question, Savings, Tier, Usage

NANO = Decimal(1_000_000_000)
LABELS = ("user", "team", "feature")
TOTAL = "total"
# Times are counted by steps of a tenth: what a percentile is said to be is at most that much too long.
LATENCY = "latency_ms"
LATENCY_STEP = 1.1

# What is added up: a dimension, a name in it, a measure, and by how much; money in whole nano-USD.
Addend: TypeAlias = tuple[str, str, str, int]


@dataclass(frozen=True, slots=True)
class Payer:
    """Whom a cost is counted to; `labels` holds user, team and feature where they were said."""

    tenant: str
    key_id: str
    labels: Mapping[str, str]
    collection: str


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One attempt at a model call that was sent and came to its end.

    id: of the attempt, unique. at: Unix seconds of its end. deployment: the configured name; model: the
    provider's. usage: with its cost, None where the price is not known, and whether it is estimated. streamed:
    whether the caller read the answer while it was written.
    price_version: which prices the cost was worked out with. error: the code of the failure, "" for none, as where
    we closed it because the caller left or what came was rejected.
    """

    id: str
    answer_id: str
    at: float
    payer: Payer
    deployment: str
    provider: str
    model: str
    tier: Tier
    usage: Usage
    price_version: str
    batch: bool
    outcome: Outcome
    streamed: bool = False
    error: str = ""

    @property
    def unused(self) -> bool:
        """Return whether the attempt failed before it used a token: it cost nothing, and no call came of it."""
        usage = self.usage
        used = usage.total_input_tokens or usage.output_tokens or usage.cost_usd != 0
        return self.outcome == "error" and not used

    def addends(self) -> Iterator[Addend]:
        """Yield what the row adds to its day's sums; `calls` are those that used tokens."""
        cost_usd = self.usage.cost_usd
        for dimension, name in (*dimensions(self.payer), ("model", self.deployment)):
            yield dimension, name, "failed_calls", int(self.error != "")
            yield dimension, name, "calls", int(not self.unused)
            if cost_usd is None:
                yield dimension, name, "unpriced_calls", 1
            else:
                yield dimension, name, "spent", rounded_nano(cost_usd)

    def to_json(self) -> str:
        """Return the row as it is stored; the cost with every digit."""
        usage, cost_usd = self.usage, self.usage.cost_usd
        return json.dumps(
            {
                "id": self.id,
                "answer_id": self.answer_id,
                "at": self.at,
                "tenant": self.payer.tenant,
                "key_id": self.payer.key_id,
                **{label: self.payer.labels.get(label) for label in LABELS},
                "collection": self.payer.collection,
                "deployment": self.deployment,
                "provider": self.provider,
                "model": self.model,
                "tier": self.tier,
                "input_tokens": usage.input_tokens,
                "cached_input_tokens": usage.cached_input_tokens,
                "cache_write_tokens": usage.cache_write_tokens,
                "cache_write_1h_tokens": usage.cache_write_1h_tokens,
                "output_tokens": usage.output_tokens,
                "reasoning_tokens": usage.reasoning_tokens,
                "cost_usd": None if cost_usd is None else format(cost_usd, "f"),
                "price_version": self.price_version,
                "estimated": usage.estimated,
                "batch": self.batch,
                "streamed": self.streamed,
                "outcome": self.outcome,
                "error": self.error,
            }
        )


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One answer and what it saved; model: the configured name that answered. at: Unix seconds.

    claims, supported: how many were judged, and how many of those the passages carry. latency_ms: the whole time of
    the request in the service; None where nobody waited, as in a batch.
    """

    id: str
    at: float
    payer: Payer
    model: str
    savings: Savings | None
    abstained: bool = False
    claims: int = 0
    supported: int = 0
    latency_ms: float | None = None

    def addends(self) -> Iterator[Addend]:
        """Yield what the answer adds to its day's sums; the parts of what it saved sum to the whole."""
        places = (*dimensions(self.payer), ("model", self.model))
        for dimension, name in places:
            yield dimension, name, "answers", 1
        yield TOTAL, "", "abstained", int(self.abstained)
        yield TOTAL, "", "claims", self.claims
        yield TOTAL, "", "supported", self.supported
        if self.latency_ms is not None:
            yield LATENCY, str(latency_bound_ms(self.latency_ms)), "answers", 1
        if self.savings is None:
            yield TOTAL, "", "answers_without_savings", 1
            return
        parts = {name: rounded_nano(self.savings.by_technique[name]) for name in TECHNIQUES}
        for technique, saved in parts.items():
            yield "technique", technique, "saved", saved
        for dimension, name in places:
            yield dimension, name, "saved", sum(parts.values())
        yield TOTAL, "", "baseline", rounded_nano(self.savings.baseline_cost_usd)


@dataclass(frozen=True, slots=True)
class RatingRow:
    """What a caller said of one answer. at: Unix seconds."""

    answer_id: str
    at: float
    tenant: str
    liked: bool

    def addends(self) -> Iterator[Addend]:
        """Yield what the rating adds to its day's sums."""
        yield TOTAL, "", "rated", 1
        yield TOTAL, "", "liked", int(self.liked)


def payer_of(question: Question) -> Payer:
    """Return whom the question's cost is counted to."""
    return Payer(question.tenant, question.key_id, dict(question.labels), question.collection)


def row_of(answer: Answer, question: Question, *, at: float, latency_ms: float | None = None) -> AnswerRow:
    """Return the row of an answer that was given at a Unix time; claims that nothing judged are not in it."""
    judged = [claim.support for claim in answer.claims if claim.support != "unchecked"]
    return AnswerRow(
        answer.id,
        at,
        payer_of(question),
        answer.route.model,
        answer.savings,
        abstained=answer.abstained,
        claims=len(judged),
        supported=judged.count("supported"),
        latency_ms=latency_ms,
    )


def latency_bound_ms(latency_ms: float) -> int:
    """Return the upper end of the step that a time falls into, in whole milliseconds, at least 1."""
    steps = math.ceil(math.log(max(latency_ms, 1.0), LATENCY_STEP) - 1e-9)
    return math.ceil(LATENCY_STEP**steps - 1e-9)


def dimensions(payer: Payer) -> Iterator[tuple[str, str]]:
    """Yield the tenant's total, and each label that was said."""
    yield TOTAL, ""
    for label in LABELS:
        if name := payer.labels.get(label):
            yield label, name


def rounded_nano(amount_usd: Decimal) -> int:
    """Return the nearest whole number of nano-USD, halves away from zero."""
    return int((amount_usd * NANO).to_integral_value(ROUND_HALF_UP))


def nano_above(amount_usd: Decimal) -> int:
    """Return the smallest whole number of nano-USD that is not below the amount: a budget never counts too little."""
    return int((amount_usd * NANO).to_integral_value(ROUND_CEILING))


def usd(nano: int) -> Decimal:
    """Return whole nano-USD as USD."""
    return Decimal(nano) / NANO


def day_of(at: float) -> str:
    """Return the UTC day of a Unix time as `2026-11-20`."""
    return datetime.fromtimestamp(at, UTC).date().isoformat()
