"""What an answer lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ragopt.domain import Question
from ragopt.experiments.losses import losses_of
from tests.ragopt.api.fakes import answer

WHOLE = answer(Question(text="Is the sky blue?", tenant="acme"))


def test_losses_of_an_answer_are_numbers() -> None:
    """Half of its citations are unsupported; it is neither partial nor an abstention."""
    found = losses_of(WHOLE, latency_ms=12.5)
    assert found == {
        "cost_usd": pytest.approx(1e-7),
        "latency_ms": 12.5,
        "abstained": 0.0,
        "partial": 0.0,
        "unsupported": 0.5,
    }


def test_unknown_cost_is_no_cost_of_zero() -> None:
    """Where no price is known the loss is left out."""
    unpriced = replace(WHOLE, citations=(), usage=replace(WHOLE.usage, cost_usd=None))
    assert "cost_usd" not in losses_of(unpriced, latency_ms=1)
    assert losses_of(unpriced, latency_ms=1)["unsupported"] == 0.0
