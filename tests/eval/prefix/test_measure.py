"""Conversations replayed against the documented prompt caches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from eval.errors import DatasetError
from eval.prefix.measure import PrefixJob, measure, ratio
from eval.prefix.replay import Texts, broken, naive, replayed, target_of, turns_of
from eval.prefix.sets import Exchange, ReplaySet, read_replay_set
from ragopt.prompt import build_prompt
from ragopt.results import History
from ragopt.tokens import count_tokens
from tests.eval.folders import lines

TALKS = ReplaySet(
    "talks", tuple(tuple(Exchange(f"What of {name} {at}?", f"It is {at}.") for at in range(6)) for name in "abcd")
)


def written(folder: Path) -> Path:
    """Return a folder with two conversations, one of which has recorded answers."""
    told = [{"role": "user", "text": "One?"}, {"role": "assistant", "text": "1."}, {"role": "user", "text": "Two?"}]
    rows = [
        {"id": "a#1", "history": [], "query": "One?"},
        {"id": "a#3", "history": told, "query": "Three?"},
        {"id": "b#1", "history": [], "query": "Else?"},
    ]
    lines(folder / "rewrites.jsonl", rows)
    return folder


def test_conversations_are_put_together_again(tmp_path: Path) -> None:
    """Rows whose histories go on are one conversation, with the answers that are recorded; a turn may lack its row."""
    found = read_replay_set(written(tmp_path)).conversations
    assert found == ((Exchange("One?", "1."), Exchange("Two?", ""), Exchange("Three?", "")), (Exchange("Else?", ""),))


@pytest.mark.parametrize("model", [("openai", "gpt-6.1-sol"), ("anthropic", "claude-opus-5-5"), ("openai", "gpt-4o")])
def test_caching_never_costs_more_and_most_of_a_long_prefix_is_read(model: tuple[str, str]) -> None:
    """In each dialect: at 3,000 stable tokens 60 % is read, at 300 nothing is lost, and no beginning breaks."""
    for tokens, least in ((300, 0.0), (3_000, 0.6)):
        found = replayed(TALKS, target_of(*model), stable_tokens=tokens, layout="ragopt", seed=0)
        assert sum(item.cost_usd for item in found.sent) <= sum(item.uncached_usd for item in found.sent)
        read = sum(item.usage.cached_input_tokens for item in found.sent)
        assert read >= least * sum(item.usage.total_input_tokens for item in found.sent)
        assert found.unexplained == []


def test_the_naive_layout_pays_for_what_is_never_read() -> None:
    """Passages before the history, cached by default: everything is written, nothing read."""
    found = replayed(TALKS, target_of("openai", "gpt-6.1-sol"), stable_tokens=3_000, layout="naive", seed=0)
    assert sum(item.cost_usd for item in found.sent) > sum(item.uncached_usd for item in found.sent)
    assert all(item.usage.cached_input_tokens == 0 for item in found.sent)


def test_a_changed_beginning_is_noticed() -> None:
    """A rule that changes between two turns is a break; another conversation, and the passages, are none."""
    first, second = list(turns_of(TALKS, Texts(TALKS, seed=0)))[:2]
    before, after = (build_prompt(item.context, item.history) for item in (first, second))
    dated = build_prompt(second.context, second.history, instructions="Today is Friday.")
    assert broken((first, before), (second, after)) == []
    assert broken((first, before), (second, dated)) != []
    assert broken((first, before), (replace(second, conversation=9), after)) == []
    assert broken(None, (first, before)) == []


def test_texts_have_the_asked_size() -> None:
    """The stable part is as long as asked, to a few tokens, without padding once the rules are that long."""
    texts = Texts(TALKS, seed=0)
    for tokens in (1_200, 3_000):
        system = build_prompt(
            texts.context(TALKS.conversations[0][0]), History(), instructions=texts.instructions(tokens)
        )
        assert abs(count_tokens(system.system) - tokens) < 40
    assert texts.instructions(10) == ""


def test_the_naive_layout_has_the_same_text() -> None:
    """It differs in the order alone."""
    item = list(turns_of(TALKS, Texts(TALKS, seed=0)))[3]
    prompt = build_prompt(item.context, item.history)
    assert sorted(segment.text for segment in naive(prompt).segments) == sorted(item.text for item in prompt.segments)


def test_report_has_both_dialects_and_layouts(tmp_path: Path) -> None:
    """Cost and read share for each stable part, dialect and layout, and the number of breaks."""
    report = measure(written(tmp_path), PrefixJob())
    assert (report.n, report.failures) == (4, ())
    assert len(report.metrics) == 3 * 2 * 2 * 2 + 1
    assert report.metrics["unexplained_breaks"].value == 0
    with pytest.raises(DatasetError):
        measure(tmp_path / "nowhere", PrefixJob())


def test_a_ratio_is_of_the_sums() -> None:
    """A long conversation weighs more than a short one."""
    found = ratio([(1, 2), (9, 10)], seed=0)
    assert found.value == pytest.approx(10 / 12)
    assert found.low <= found.value <= found.high
