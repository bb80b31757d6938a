"""Price edges as hard limits of the whole prompt: with one token more, every token of the call would cost more."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from ragopt.domain import PASSAGE_SEPARATOR, TIER_RANK, Context, Question
from ragopt.form import instructions_of
from ragopt.money.prices import Prices, priced, tokenizer_margin
from ragopt.ports import BuildPrompt, CountTokens
from ragopt.providers.deployment import Deployment
from ragopt.providers.layout import Prompt
from ragopt.providers.usage import estimated_usage
from ragopt.results import History
from ragopt.telemetry import Trace


@dataclass(frozen=True, slots=True)
class PriceEdge:
    """The most that a prompt may have at a model's base price.

    input_tokens: as the provider counts. tokens: of o200k_base that are surely no more than those.
    """

    model: str
    input_tokens: int
    tokens: int


class PriceEdges:
    """Keeps the prompt of an answer at or below the price edges of its models; satisfies `ragopt.ports.KeepCheap`.

    cheaper: whether a spent budget may lead to a cheaper model than the one that was asked for.
    """

    def __init__(
        self,
        deployments: Sequence[Deployment],
        *,
        prices: Prices,
        prompt: BuildPrompt,
        count_tokens: CountTokens,
        cheaper: bool,
    ) -> None:
        self._deployments = deployments
        self._prices = prices
        self._prompt = prompt
        self._count_tokens = count_tokens
        self._cheaper = cheaper

    async def __call__(self, question: Question, context: Context, *, history: History, trace: Trace) -> Context:
        """Return the context without its last passages, as many of them as take the prompt past an edge.

        `stopped_by` is then `price_edge`, and the trace names the model, its edge and how many passages went. An
        edge that leaves no room for the first passage holds nothing back: its price is due whatever is packed.
        """
        edges = self.binding(question)
        told = instructions_of(question)
        build = partial(self._prompt, history=history, instructions=told, examples=question.examples)
        if not edges or most_tokens(build(context)) <= edges[0].tokens:
            return context
        return await asyncio.to_thread(self._kept, context, build, edges=edges, trace=trace)

    def binding(self, question: Question) -> list[PriceEdge]:
        """Return the edges that the question's prompt must not pass, the lowest first.

        They are those of the models it may be routed to, without any that the request passes knowingly: by a
        `token_budget` of its own that alone is over it.
        """
        knowingly = question.knobs.context_tokens if question.budget_named else 0
        found = [self._edge(item) for item in reachable(self._deployments, question, cheaper=self._cheaper)]
        return sorted(
            (edge for edge in found if edge is not None and edge.input_tokens >= knowingly),
            key=lambda edge: edge.tokens,
        )

    def _edge(self, deployment: Deployment) -> PriceEdge | None:
        edge = self._prices.edge(priced(deployment))
        return None if edge is None else PriceEdge(deployment.name, edge, int(edge / tokenizer_margin(deployment)))

    def _kept(
        self, context: Context, build: Callable[[Context], Prompt], *, edges: Sequence[PriceEdge], trace: Trace
    ) -> Context:
        """Return the context under the lowest edge that leaves room for a passage; counts tokens, so in a thread."""

        def prompt_tokens(passages: int) -> int:
            kept = replace(context, passages=context.passages[:passages])
            return estimated_usage(build(kept), "").input_tokens

        for edge in edges:
            fitting = bisect_right(range(1, len(context.passages) + 1), edge.tokens, key=prompt_tokens)
            if fitting == len(context.passages):
                return context
            if fitting:
                cut = len(context.passages) - fitting
                trace.note(price_edge=f"{edge.model}: {edge.input_tokens} tokens", price_edge_cut=cut)
                return self._first(context, fitting)
            trace.note(price_edge_passed=f"{edge.model}: {edge.input_tokens} tokens")
        return context

    def _first(self, context: Context, count: int) -> Context:
        kept = context.passages[:count]
        tokens = self._count_tokens(PASSAGE_SEPARATOR.join(passage.text for passage in kept))
        return replace(context, passages=kept, tokens=tokens, stopped_by="price_edge")


def reachable(deployments: Sequence[Deployment], question: Question, *, cheaper: bool) -> list[Deployment]:
    """Return the deployments that may get the question's prompt, in the given order.

    None is above the key's ceiling. Where the request names a model, none is below its tier either, unless a
    spent budget may lead there (`cheaper`).
    """
    named = next((item for item in deployments if item.name == question.model), None)
    floor = 0 if named is None or cheaper else TIER_RANK[named.tier]
    return [item for item in deployments if floor <= TIER_RANK[item.tier] <= TIER_RANK[question.tier_ceiling]]


def most_tokens(prompt: Prompt) -> int:
    """Return a bound on the tokens of a prompt, quick to tell: no token is shorter than a byte of UTF-8.

    What a chat format adds to each message is far less than its text has bytes beyond its tokens.
    """
    return sum(len(segment.text.encode("utf-8", "surrogatepass")) for segment in prompt.segments)
