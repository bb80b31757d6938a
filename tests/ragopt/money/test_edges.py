"""Price edges: no prompt costs more per token than a shorter one would, unless its caller asked for that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ragopt.domain import Context, QueryKnobs, Question, Turn
from ragopt.money.edges import PriceEdges, reachable
from ragopt.money.prices import Prices, priced
from ragopt.prompt import build_prompt
from ragopt.providers.deployment import Deployment
from ragopt.providers.usage import estimated_usage
from ragopt.results import History
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens
from tests.fakes import context_of, passage
from tests.ragopt.money.questions import deployment

PRICES = Prices()
HAIKU = deployment("haiku", provider="anthropic", model="claude-haiku-5-5", price=None)
SOL = deployment("sol", model="gpt-6.1-sol", tier="complex", price=None)
MINI = deployment("mini", model="gpt-4o-mini", price=None)
SENTENCE = "The late fee is eight dollars and refunds take ten days to arrive at the bank. "
# Of o200k_base, and of which a prompt in another tokenizer surely has no more than 100,000.
HAIKU_TOKENS, SOL_TOKENS = 66_666, 269_306
ASKED = Question("How much is the late fee?", "acme", knobs=QueryKnobs(context_tokens=200_000))


def long_context(tokens: int) -> Context:
    """Return a context of at least so many tokens, in passages of about 2,000."""
    text = SENTENCE * 120
    each = count_tokens(text)
    passages = [replace(passage(text, n=n), tokens=each) for n in range(1, tokens // each + 2)]
    return replace(context_of(*passages), tokens=len(passages) * each)


def kept(
    context: Context, *models: Deployment, question: Question = ASKED, cheaper: bool = False
) -> tuple[Context, Trace]:
    """Return what is left of a context, and the trace."""
    trace = Trace("r")
    edges = PriceEdges(models, prices=PRICES, prompt=build_prompt, count_tokens=count_tokens, cheaper=cheaper)
    return asyncio.run(edges(question, context, history=History(recent=question.history), trace=trace)), trace


def prompt_tokens(context: Context, history: Sequence[Turn] = ()) -> int:
    """Return the tokens of the whole prompt in o200k_base."""
    return estimated_usage(build_prompt(context, History(recent=tuple(history))), "").input_tokens


@pytest.mark.parametrize(
    ("model", "edge", "tokens"), [(HAIKU, 100_000, HAIKU_TOKENS), (SOL, 272_000, SOL_TOKENS)], ids=["haiku", "sol"]
)
def test_the_prompt_stays_at_the_edge(model: Deployment, edge: int, tokens: int) -> None:
    """As many passages as fit under the edge with the margin of the tokenizer, the best of them, and it is said."""
    context = long_context(tokens)
    found, trace = kept(context, model, MINI)
    assert found.passages == context.passages[: len(found.passages)]
    assert tokens - 3_000 < prompt_tokens(found) <= tokens
    assert found.stopped_by == "price_edge"
    assert found.tokens == count_tokens("\n\n".join(item.text for item in found.passages))
    cut = len(context.passages) - len(found.passages)
    assert trace.facts == {"price_edge": f"{model.name}: {edge} tokens", "price_edge_cut": cut}


def test_history_counts_towards_the_edge() -> None:
    """What the conversation takes of the prompt is not there for passages."""
    history = (Turn("user", SENTENCE * 1_000), Turn("assistant", "Noted."))
    asked = replace(ASKED, history=history)
    found, _ = kept(long_context(60_000), HAIKU, question=asked)
    assert found.stopped_by == "price_edge"
    assert prompt_tokens(found, history) <= HAIKU_TOKENS < prompt_tokens(long_context(60_000), history)


def test_below_every_edge_nothing_changes() -> None:
    """A prompt that fits, however it is counted, and one of models without an edge, is the same object as before."""
    short, long = long_context(800), long_context(HAIKU_TOKENS)
    assert kept(short, HAIKU, SOL)[0] is short
    assert kept(long, MINI)[0] is long
    counted = long_context(HAIKU_TOKENS // 2)
    assert kept(counted, HAIKU)[0] is counted


def test_the_lowest_edge_of_the_models_that_may_answer_binds() -> None:
    """A cheap model's edge bounds `auto`; a request that names another model is not held to it."""
    context = long_context(HAIKU_TOKENS)
    assert kept(context, SOL, HAIKU)[1].facts["price_edge"] == "haiku: 100000 tokens"
    assert kept(context, SOL, HAIKU, question=replace(ASKED, model="sol"))[0] is context
    assert kept(context, SOL, HAIKU, question=replace(ASKED, model="sol"), cheaper=True)[0] is not context


def test_a_token_budget_over_the_edge_passes_it_knowingly() -> None:
    """A request that asks for more passages than the edge gets them; the service's own setting is no such request."""
    context = long_context(HAIKU_TOKENS)
    over, under = QueryKnobs(context_tokens=100_001), QueryKnobs(context_tokens=100_000)
    assert kept(context, HAIKU, question=replace(ASKED, knobs=over, budget_named=True))[0] is context
    assert kept(context, HAIKU, question=replace(ASKED, knobs=under, budget_named=True))[0] is not context
    assert kept(context, HAIKU, question=replace(ASKED, knobs=over))[0] is not context


def test_an_edge_without_room_for_a_passage_gives_way_to_the_next() -> None:
    """A history past one edge makes its price due, so passages are kept; the next edge still holds."""
    asked = replace(ASKED, history=(Turn("user", SENTENCE * 4_000),))
    context = long_context(2_000)
    found, trace = kept(context, HAIKU, question=asked)
    assert found is context
    assert trace.facts == {"price_edge_passed": "haiku: 100000 tokens"}
    longer = long_context(SOL_TOKENS)
    assert prompt_tokens(kept(longer, HAIKU, SOL, question=asked)[0], asked.history) <= SOL_TOKENS


def test_a_key_reaches_no_model_above_its_ceiling() -> None:
    """What a question may be routed to: its key's tiers, and from a named model upwards."""
    models = [HAIKU, SOL]
    assert reachable(models, ASKED, cheaper=False) == models
    assert reachable(models, replace(ASKED, tier_ceiling="medium"), cheaper=False) == [HAIKU]
    assert reachable(models, replace(ASKED, model="sol"), cheaper=False) == [SOL]
    assert reachable(models, replace(ASKED, model="sol"), cheaper=True) == models


def test_margins_cover_the_table() -> None:
    """Our bounds are those of the price table less the margin, whatever it is."""
    assert (PRICES.edge(priced(HAIKU)), PRICES.edge(priced(SOL))) == (100_000, 272_000)
    assert 1.5 * HAIKU_TOKENS <= 100_000
    assert 1.01 * SOL_TOKENS <= 272_000
