"""What an answer saved: the cost of the same answer by `[baseline]`, changed into ours step by step.

Counted: our tokens, as the provider reported them, and their cost. Estimated: what the baseline would have sent, which
is nobody's to report. Its context is `top_k` chunks of the size that its chunking of our documents has on average, or
all of them where they are fewer; its history is the whole one; its instructions, its question and its answer have as
many tokens as ours; nothing of it is cached, sent in a batch or repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from itertools import pairwise
from typing import Protocol

from indexes.errors import IndexingError
from ragopt.domain import TECHNIQUES, TIER_RANK, BilledCall, Savings, Turn, Usage
from ragopt.money.prices import FREE_PROVIDERS, Priced, Prices, priced
from ragopt.providers.deployment import Deployment
from ragopt.providers.layout import Part, Prompt
from ragopt.providers.usage import TOKENS_PER_MESSAGE, estimated_usage, total_usage
from ragopt.results import Generated, Prepared
from ragopt.settings.money import BaselineSettings
from ragopt.tokens import count_tokens

BUILTIN = Priced("extractive", "extractive")
# What of a prompt stands for the baseline's whole history.
HISTORY: frozenset[Part] = frozenset({"summary", "history", "recalled"})
MAX_SIZES = 1_024
# The index yields documents by the hash of their ids, so the first of them are a sample.
MAX_SAMPLED = 200


class DocumentTokens(Protocol):
    """How long the documents of a collection are."""

    async def __call__(self, tenant: str, collection: str, *, most: int) -> Sequence[int]:
        """Return the tokens of each live document, of `most` of them if they are more. Raises: `IndexingError`."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What the two sides of one answer sent, in tokens.

    usage: of the call that answered, its buckets as reported; sent: all of its input, an estimate where the
    answer was free. spent_usd: what every call of the answer cost. batch: whether the call was part of one.
    """

    baseline: Priced
    ours: Priced
    baseline_context: int
    context: int
    whole_history: int
    history: int
    sent: int
    usage: Usage
    spent_usd: Decimal | None
    batch: bool = False

    def shapes(self) -> list[Usage]:
        """Return the baseline's call, then with our context, then with our history, then with our prompt."""
        rest = max(0, self.sent - self.context - self.history)
        inputs = (
            rest + self.baseline_context + self.whole_history,
            rest + self.context + self.whole_history,
            rest + self.context + self.history,
            self.sent,
        )
        return [Usage(input_tokens=tokens, output_tokens=self.usage.output_tokens) for tokens in inputs]


def savings_of(compared: Compared, prices: Prices) -> Savings | None:
    """Return what was saved by technique, None where a price is not known.

    Each step is priced against the one before, so the parts sum to the baseline's cost less ours to the last digit.
    """
    *_, ours = shapes = compared.shapes()
    free = compared.ours.provider in FREE_PROVIDERS
    asked = Decimal(0) if free else prices.cost(compared.ours, ours)
    steps = [
        *(prices.cost(compared.baseline, shape) for shape in shapes),
        asked,
        asked,  # an answer that is read from the response cache is `Savings.of_hit` of the one that was written
        prices.cost(compared.ours, compared.usage),
        prices.cost(compared.ours, compared.usage, batch=compared.batch),
        compared.spent_usd,
    ]
    costs = [cost for cost in steps if cost is not None]
    if len(costs) < len(steps):
        return None
    parts = [before - after for before, after in pairwise(costs)]
    return Savings(costs[0], dict(zip(TECHNIQUES, parts, strict=True)))


class SavingsCounter:
    """Counts what answers saved; satisfies `ragopt.ports.CountSavings`."""

    def __init__(
        self,
        baseline: BaselineSettings,
        deployments: Sequence[Deployment],
        *,
        prices: Prices,
        document_tokens: DocumentTokens,
    ) -> None:
        self._settings = baseline
        self._deployments = {item.name: item for item in deployments}
        self._baseline = baseline_model(baseline, deployments)
        self._prices = prices
        self._document_tokens = document_tokens
        self._sizes: dict[tuple[str, str, int], int] = {}

    async def __call__(self, prepared: Prepared, generated: Generated) -> Savings | None:
        """Return what the answer saved, None where a price or the collection's size is not known."""
        try:
            baseline_context = await self._baseline_context(prepared)
        except IndexingError:
            return None
        counting = partial(self._counted, prepared, generated, baseline_context=baseline_context)
        # A reported usage and no history leave nothing to count: a tenth of a millisecond, no time for a thread.
        quick = generated.usage.total_input_tokens > 0 and not prepared.question.history
        return counting() if quick else await asyncio.to_thread(counting)

    def _counted(self, prepared: Prepared, generated: Generated, *, baseline_context: int) -> Savings | None:
        answering = answering_call(generated)
        ours = self._priced(answering.model) if answering else BUILTIN
        usage = answering.usage if answering else Usage()
        free = ours.provider in FREE_PROVIDERS
        compared = Compared(
            baseline=self._baseline,
            ours=ours,
            baseline_context=baseline_context,
            context=prepared.context.tokens,
            whole_history=history_tokens(prepared.question.history),
            history=sent_history_tokens(prepared.prompt),
            sent=estimated_usage(prepared.prompt, "").input_tokens if free else usage.total_input_tokens,
            usage=usage,
            spent_usd=total_usage([call.usage for call in generated.billed]).cost_usd,
            batch=answering.batch if answering else False,
        )
        return savings_of(compared, self._prices)

    def _priced(self, name: str) -> Priced:
        deployment = self._deployments.get(name)
        return BUILTIN if deployment is None else priced(deployment)

    async def _baseline_context(self, prepared: Prepared) -> int:
        """Return the tokens of the baseline's passages; each generation of a collection is sampled once."""
        question = prepared.question
        key = (question.tenant, question.collection, prepared.context.generation)
        if key not in self._sizes:
            documents = await self._document_tokens(question.tenant, question.collection, most=MAX_SAMPLED)
            if len(self._sizes) >= MAX_SIZES:
                self._sizes.pop(next(iter(self._sizes)))
            self._sizes[key] = baseline_context_tokens(documents, self._settings)
        return self._sizes[key]


def baseline_context_tokens(documents: Sequence[int], settings: BaselineSettings) -> int:
    """Return the tokens of the baseline's passages, given those of the documents; 0 for none.

    Chunks of `chunk_tokens`, each of which repeats the last `overlap` of the one before, none over the end of a
    document: `top_k` times their mean, or all of them where they are fewer.
    """
    step = settings.chunk_tokens - settings.overlap
    chunks = [1 + max(0, -((settings.chunk_tokens - tokens) // step)) for tokens in documents]
    total = sum(tokens + (count - 1) * settings.overlap for tokens, count in zip(documents, chunks, strict=True))
    return total if sum(chunks) <= settings.top_k else round(settings.top_k * total / sum(chunks))


def answering_call(generated: Generated) -> BilledCall | None:
    """Return the call whose text is the answer: the last billed one of the model that answered, None without one."""
    calls = [call for call in generated.billed if call.model == generated.route.model]
    return calls[-1] if calls else None


def baseline_model(settings: BaselineSettings, deployments: Sequence[Deployment]) -> Priced:
    """Return the named model, else the first of the highest tier; the free one where none is configured."""
    named = [item for item in deployments if item.name == settings.model]
    ranked = named or sorted(deployments, key=lambda item: -TIER_RANK[item.tier])
    # The baseline is priced at its address too: the same model may cost more elsewhere.
    return priced(ranked[0]) if ranked else BUILTIN


def history_tokens(turns: Sequence[Turn]) -> int:
    """Return the tokens of a history in a prompt, in o200k_base; 0 for none."""
    return sum(count_tokens(turn.content) + TOKENS_PER_MESSAGE for turn in turns)


def sent_history_tokens(prompt: Prompt) -> int:
    """Return the tokens of summary, last turns and recalled turns in a prompt, in o200k_base."""
    kept = [segment.text for segment in prompt.segments if segment.part in HISTORY]
    messages = sum(segment.part == "history" for segment in prompt.segments)
    return sum(count_tokens(text) for text in kept) + TOKENS_PER_MESSAGE * messages
