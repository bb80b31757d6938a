"""Folding of old turns: within the budget, append-only, and the same however often it is done."""

from __future__ import annotations

import pytest

from ragopt.domain import Summary, Turn
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.fold import Limits, folded, turn_tokens
from ragopt.tokens import count_tokens
from tests.ragopt.stages.history.conversations import exchanges

LIMITS = Limits.of(HistorySettings(budget_tokens=400))


@pytest.mark.parametrize("seed", range(2))
def test_folding_after_each_exchange_gives_the_bytes_of_folding_at_once(seed: int) -> None:
    """A summary that is kept and one that is made from the whole history again are the same."""
    turns, kept = exchanges(36, seed=seed), Summary()
    for end in range(2, len(turns) + 1, 2):
        kept = folded(kept, turns[:end], limits=LIMITS)
        assert kept == folded(Summary(), turns[:end], limits=LIMITS)
    assert kept.version > 1


@pytest.mark.parametrize("seed", range(2))
def test_a_block_is_never_written_again(seed: int) -> None:
    """From turn to turn blocks are only added, unless the version says that all were merged."""
    turns, before = exchanges(36, seed=seed), Summary()
    for end in range(2, len(turns) + 1, 2):
        now = folded(before, turns[:end], limits=LIMITS)
        if now.version == before.version:
            assert now.blocks[: len(before.blocks)] == before.blocks
        assert now.folded >= before.folded
        before = now


@pytest.mark.parametrize("words", [5, 30, 120])
def test_summary_and_last_turns_stay_within_the_budget(words: int) -> None:
    """At every turn: the summary within its share, the last turns within theirs, both within the whole."""
    turns = exchanges(24, words=words)
    for end in range(1, len(turns) + 1, 3):
        summary = folded(Summary(), turns[:end], limits=LIMITS)
        summary_tokens = sum(map(count_tokens, summary.blocks))
        recent_tokens = sum(turn_tokens(turns[summary.folded : end]))
        assert summary_tokens <= LIMITS.summary
        assert recent_tokens <= (LIMITS.recent if summary.folded and words < 120 else LIMITS.budget)
        assert summary_tokens + recent_tokens <= LIMITS.budget


def test_a_history_that_fits_is_left_alone() -> None:
    """Nothing is folded before the budget is reached."""
    turns = exchanges(2)
    assert sum(turn_tokens(turns)) <= LIMITS.budget
    assert folded(Summary(), turns, limits=LIMITS) == Summary()
    assert folded(Summary(), (), limits=LIMITS) == Summary()


def test_last_turns_begin_with_the_user() -> None:
    """An answer is never parted from its question."""
    turns = exchanges(24)
    for end in range(2, len(turns) + 1, 2):
        rest = turns[folded(Summary(), turns[:end], limits=LIMITS).folded : end]
        assert rest[0].role == "user"


def test_a_turn_larger_than_the_budget_is_folded_itself() -> None:
    """A pasted document does not break the budget: its facts are in the summary, no turn is left."""
    pasted = Turn("user", "The invoice number is 77. " + "It rained all day long. " * 400)
    summary = folded(Summary(), (*exchanges(2), pasted, Turn("assistant", "Noted.")), limits=LIMITS)
    assert summary.folded == 6
    assert "The invoice number is 77." in summary.blocks[-1]


def test_facts_with_numbers_outlive_chatter() -> None:
    """What a block keeps are the sentences that say something."""
    block = folded(Summary(), exchanges(30), limits=LIMITS).blocks[0]
    assert "number is 1000." in block
    assert "Great!" not in block


def test_a_budget_of_nothing_folds_everything_and_keeps_nothing() -> None:
    """Without tokens there is neither a summary nor a turn."""
    summary = folded(Summary(), exchanges(3), limits=Limits.of(HistorySettings(budget_tokens=0)))
    assert (summary.blocks, summary.folded) == ((), 6)
