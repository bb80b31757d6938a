"""Estimates and sums of usage."""

from __future__ import annotations

from decimal import Decimal

from ragopt.domain import Usage
from ragopt.providers.usage import estimated_usage, total_usage
from ragopt.tokens import count_tokens
from tests.model_calls import PROMPT


def test_estimate_counts_every_message() -> None:
    """System, history and user are all in the input, with a few tokens of format; the answer is the output."""
    texts = [PROMPT.system, *(turn.content for turn in PROMPT.history), PROMPT.user]
    usage = estimated_usage(PROMPT, "Sixteen hours [1].")
    assert usage.input_tokens == sum(count_tokens(text) for text in texts) + 3 * len(texts) + 3
    assert usage.output_tokens == count_tokens("Sixteen hours [1].")
    assert (usage.estimated, usage.cost_usd) == (True, None)


def test_sum_adds_every_bucket() -> None:
    """Buckets add up, an estimate anywhere makes the sum one."""
    one = Usage(1, 2, 3, 4, Decimal("0.1"))
    other = Usage(10, 20, 30, 40, Decimal("0.2"), estimated=True)
    assert total_usage([one, other]) == Usage(11, 22, 33, 44, Decimal("0.3"), estimated=True)


def test_sum_with_an_unknown_cost_is_unknown() -> None:
    """A sum that leaves a part out would be too low."""
    assert total_usage([Usage(cost_usd=Decimal(1)), Usage()]).cost_usd is None


def test_sum_of_nothing_is_zero() -> None:
    """No attempt, no tokens, no cost."""
    assert total_usage([]) == Usage(cost_usd=Decimal(0))
