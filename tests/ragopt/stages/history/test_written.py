"""Blocks of the summary that a model writes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from ragopt.domain import Question, Summary, Turn, Usage
from ragopt.errors import ProviderError, ProviderOverloaded
from ragopt.providers.deployment import Deployment
from ragopt.providers.protocol import Completed, ProviderEvent, TextDelta
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.fold import Limits, folded
from ragopt.stages.history.written import SummaryWriter, fitting, holds_up
from ragopt.tokens import count_tokens
from tests.model_calls import ScriptedProvider, caller
from tests.ragopt.stages.history.conversations import exchanges

LIMITS = Limits.of(HistorySettings(budget_tokens=400))
TURNS = exchanges(8)
GOOD = "- user: number is 1000\n- assistant: train"
DONE = Completed(Usage(), "m", "end")


def written(
    *script: ProviderEvent | ProviderError, turns: Sequence[Turn] = TURNS, before: Summary | None = None
) -> tuple[Summary, ScriptedProvider]:
    """Return the summary with a model that says this, and the model."""
    provider = ScriptedProvider(*script)
    model = Deployment("cheap", provider, "cheap", tier="simple", timeout_s=5)
    writer = SummaryWriter(model, caller=caller(), limits=LIMITS)
    return asyncio.run(writer(Question("q", "t"), before or Summary(), turns)), provider


def test_the_new_block_is_the_model_s() -> None:
    """Which turns are folded does not change, and the blocks before stay as they are."""
    extracted = folded(Summary(), TURNS, limits=LIMITS)
    summary, provider = written(TextDelta(GOOD), DONE)
    assert summary == Summary((GOOD,), folded=extracted.folded)
    (request,) = provider.requests
    assert TURNS[0].content in request.prompt.user
    assert TURNS[-1].content not in request.prompt.user


@pytest.mark.parametrize(
    "script",
    [
        (ProviderOverloaded("busy"),),
        (TextDelta("- user: number is 4711"), DONE),
        (TextDelta("Here is a summary."), DONE),
        (TextDelta(GOOD), Completed(Usage(), "m", "refusal")),
        (DONE,),
    ],
    ids=["fails", "invents a number", "no lines", "refuses", "says nothing"],
)
def test_a_model_that_is_no_good_leaves_the_extracted_block(script: tuple[ProviderEvent, ...]) -> None:
    """An error, a number that nobody said, another form or a refusal: the sentences are kept instead."""
    assert written(*script)[0] == folded(Summary(), TURNS, limits=LIMITS)


def test_the_model_is_not_asked_where_nothing_is_new() -> None:
    """While the history fits there is no call, nor where blocks are merged."""
    short, provider = written(TextDelta(GOOD), DONE, turns=TURNS[:2])
    assert (short, provider.requests) == (Summary(), [])
    full = Summary(("- user: a fact\n" * 30,), folded=len(TURNS))
    merged, provider = written(TextDelta(GOOD), DONE, turns=(*TURNS, *TURNS), before=full)
    assert (merged.version, provider.requests) == (2, [])


def test_a_block_is_cut_to_its_size() -> None:
    """Only lines of the agreed form, and as many as fit."""
    text = "Sure!\n- user: one\n* two\n- assistant:  three \u200b\n- user: four"
    assert fitting(text, most=100) == "- user: one\n- assistant: three\n- user: four"
    assert fitting(text, most=count_tokens("- user: one\n- assistant: three")) == "- user: one\n- assistant: three"
    assert fitting("", most=10) == ""


def test_numbers_must_have_been_said() -> None:
    """A block holds no number of its own, however it is written."""
    turns = [Turn("user", "It costs 1,200.50 in 2024.")]
    assert holds_up("- user: 1,200.50 in 2024", turns)
    assert not holds_up("- user: 1,200 in 2024", turns)
    assert not holds_up("", turns)
