"""The history stage: what of a conversation goes into a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from indexes.records import Encoded
from ragopt.domain import Question, Summary, Turn
from ragopt.results import History
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.carried import CarriedSummaries
from ragopt.stages.history.fold import Limits, folded, turn_tokens
from ragopt.stages.history.stage import BudgetedHistory
from ragopt.stages.history.vectors import TurnVectors
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens
from tests.fakes import WordEncoder
from tests.ragopt.stages.history.conversations import exchanges

SETTINGS = HistorySettings(budget_tokens=600)


def composed(
    turns: Sequence[Turn],
    *,
    text: str = "What was the violin number 1003?",
    settings: HistorySettings = SETTINGS,
    summary: Summary | None = None,
    trace: Trace | None = None,
) -> History:
    """Return what of the turns goes into the prompt of a question."""
    encoder = WordEncoder()

    async def run() -> History:
        stage = BudgetedHistory(settings, TurnVectors(encoder.encode, wait_s=None))
        question = Question(text, "t", history=tuple(turns), summary=summary)
        encoded = await encoder.encode_question(text)
        return await stage(question, standalone=text, encoded=encoded, trace=trace or Trace("r"))

    return asyncio.run(run())


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("number", [1, 5, 12, 40])
def test_everything_together_stays_within_the_budget(number: int, seed: int) -> None:
    """Summary, last turns and recalled turns, counted as they stand in a prompt."""
    history = composed(exchanges(number, seed=seed))
    tokens = sum(map(count_tokens, history.summary)) + sum(turn_tokens((*history.recent, *history.recalled)))
    assert tokens <= SETTINGS.budget_tokens


def test_a_short_history_is_sent_whole() -> None:
    """Nothing is summarised or recalled while all of it fits."""
    turns = exchanges(3)
    assert composed(turns) == History(recent=turns, turns_before=6)
    assert composed(()) == History()


def test_an_old_turn_that_the_question_is_about_comes_back() -> None:
    """It is recalled word for word, in the order of the conversation, and never twice."""
    turns = exchanges(40)
    history = composed(turns)
    assert turns[6] in history.recalled
    assert not set(history.recalled) & set(history.recent)
    places = [turns.index(turn) for turn in history.recalled]
    assert places == sorted(places)


def test_without_a_budget_there_is_no_history() -> None:
    """A budget of 0 turns it off."""
    assert composed(exchanges(4), settings=HistorySettings(budget_tokens=0)) == History(turns_before=8)


def test_a_kept_summary_is_used_byte_for_byte() -> None:
    """The blocks of the summary that came with the question are those of the prompt."""
    turns = exchanges(40)
    kept = folded(Summary(), turns[:60], limits=Limits.of(SETTINGS))
    marked = Summary(("- user: as it was written", *kept.blocks[1:]), folded=kept.folded, version=kept.version)
    assert composed(turns[:60], summary=marked).summary[0] == "- user: as it was written"


def test_ten_thousand_turns_are_bounded_work() -> None:
    """A history of that length is answered within the budget, and the trace says what was not compared by meaning."""
    trace = Trace("r")
    turns = tuple(Turn("user" if at % 2 == 0 else "assistant", f"Item {at} is done.") for at in range(10_000))
    history = composed(turns, text="What about item 9000?", trace=trace)
    assert Turn("user", "Item 9000 is done.") in history.recalled
    assert trace.facts["history_turns"] == 10_000
    assert "by their words alone" in trace.fallbacks["history"]


def test_without_an_encoder_words_decide() -> None:
    """A question without a vector still finds old turns."""

    async def run() -> History:
        stage = BudgetedHistory(SETTINGS)
        question = Question("What was number 1003?", "t", history=exchanges(40))
        return await stage(question, standalone=question.text, encoded=None, trace=Trace("r"))

    assert exchanges(40)[6] in asyncio.run(run()).recalled


def test_summaries_of_carried_histories_start_where_the_last_left_off() -> None:
    """A history that grew by an exchange, and one that nobody has seen, get the same summary."""
    turns, limits = exchanges(30), Limits.of(SETTINGS)
    carried = CarriedSummaries(limits)
    for end in range(2, len(turns) + 1, 2):
        assert carried.of(turns[:end]) == folded(Summary(), turns[:end], limits=limits)
    other = (Turn("user", "Something else."), *turns[1:])
    assert carried.of(other) == folded(Summary(), other, limits=limits)


def test_one_broken_encoding_is_not_one_broken_answer() -> None:
    """With an encoder that fails the history is composed by words, and the trace says so."""

    async def broken(texts: Sequence[str]) -> list[Encoded]:
        raise RuntimeError(str(len(texts)))

    async def run() -> tuple[History, Trace]:
        stage, trace = BudgetedHistory(SETTINGS, TurnVectors(broken)), Trace("r")
        question = Question("What was number 1003?", "t", history=exchanges(40))
        encoded = await WordEncoder().encode_question(question.text)
        return await stage(question, standalone=question.text, encoded=encoded, trace=trace), trace

    history, trace = asyncio.run(run())
    assert history.recalled
    assert "history" in trace.fallbacks
