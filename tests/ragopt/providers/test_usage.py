"""Estimates and sums of usage."""

from __future__ import annotations

from decimal import Decimal

from ragopt.domain import Usage
from ragopt.providers.usage import estimated_usage, total_usage
from ragopt.tokens import count_tokens
from tests.model_calls import PROMPT


def test_estimate_counts_every_message() -> None:
    """System, history and user are all in the input, with a few tokens of format; the answer is the output."""
    texts = [segment.text for segment in PROMPT.segments]
    usage = estimated_usage(PROMPT, "Sixteen hours [1].")
    assert usage.input_tokens == sum(count_tokens(text) for text in texts) + 3 * len(texts) + 3
    assert usage.output_tokens == count_tokens("Sixteen hours [1].")
    assert (usage.estimated, usage.cost_usd) == (True, None)


def test_sum_adds_every_bucket() -> None:
    """No count is lost between attempts."""
    first = Usage(1, 2, 3, 4, Decimal(5), cache_write_1h_tokens=6, reasoning_tokens=1)
    second = Usage(10, 20, 30, 40, Decimal(50), estimated=True, cache_write_1h_tokens=60, reasoning_tokens=10)
    both = Usage(11, 22, 33, 44, Decimal(55), estimated=True, cache_write_1h_tokens=66, reasoning_tokens=11)
    assert total_usage([first, second]) == both
    assert both.total_input_tokens == 11 + 22 + 33 + 66


def test_sum_with_an_unknown_cost_is_unknown() -> None:
    """A sum that leaves a part out would be too low."""
    assert total_usage([Usage(cost_usd=Decimal(1)), Usage()]).cost_usd is None


def test_sum_of_nothing_is_zero() -> None:
    """No attempt, no tokens, no cost."""
    assert total_usage([]) == Usage(cost_usd=Decimal(0))
