"""Tiers and their models from recorded answers."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.errors import DatasetError
from eval.tune.choose import Rule
from eval.tune.tiers import front_of, profiles_of, read_graded, rows_over, tier_advice, tuned_tiers
from ragopt.settings.models import ModelSettings
from ragopt.settings.routing import RoutingSettings

# What each model costs for a thousand answers; the dear one is never worth its price.
USD = {"small": 1.0, "large": 10.0, "dear": 20.0}
QUESTIONS = 200


def answers(folder: Path, **changes: object) -> Path:
    """Write answers of three models: the small one is right below a difficulty of 0.6, the others always."""
    rows = [
        {
            "question": f"Question {at}?",
            "difficulty": at / QUESTIONS,
            "model": model,
            "quality": float(model != "small" or at / QUESTIONS < 0.6),
            "cost_usd": str(usd / 1000),
        }
        for at in range(QUESTIONS)
        for model, usd in USD.items()
    ]
    rows[7] |= changes
    path = folder / "answers.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_the_cheapest_routing_without_a_loss_is_found(tmp_path: Path) -> None:
    """What is easy goes to the small model, what is hard to the large one, and the dear one serves nothing."""
    found = tuned_tiers(answers(tmp_path), (), RoutingSettings(), rule=Rule(seed=1))
    balanced = found.profiles["balanced"]
    assert balanced.quality.mean() == 1
    assert 1000 * balanced.cost_usd.mean() == pytest.approx(0.6 * 1 + 0.4 * 10, abs=0.5)
    assert "dear" not in dict(tier_advice(balanced))
    assert found.profiles["latency"] == balanced
    assert found.configured is None
    held = found.held_out["balanced"]
    assert held.quality.value >= 0.98
    assert held.usd_per_1000.value == pytest.approx(4.6, abs=0.5)


def test_what_is_configured_now_stands_beside_it(tmp_path: Path) -> None:
    """A tier without a model is served by the nearest above; a model without answers leaves the row out."""
    models = (
        ModelSettings(name="small", provider="openai"),
        ModelSettings(name="dear", provider="openai", tier="complex"),
    )
    now = tuned_tiers(answers(tmp_path), models, RoutingSettings(), rule=Rule()).configured
    assert now is not None
    assert now.setting.models == ("small", "dear", "dear")
    assert 1000 * now.cost_usd.mean() == pytest.approx(0.3 * 1 + 0.7 * 20, abs=0.2)
    other = (ModelSettings(name="unheard-of", provider="openai"),)
    assert tuned_tiers(answers(tmp_path), other, RoutingSettings(), rule=Rule()).configured is None


def test_no_row_is_dominated_and_none_stands_twice(tmp_path: Path) -> None:
    """The front rises in both; settings that route every question alike are one row, the nearest to the configured."""
    graded = read_graded(answers(tmp_path))
    rows = rows_over(graded, RoutingSettings())
    routed = {(row.quality.tobytes(), row.cost_usd.tobytes()) for row in rows}
    assert len(routed) == len(rows)
    front = front_of(rows)
    assert all(a.cost_usd.mean() < b.cost_usd.mean() for a, b in zip(front, front[1:], strict=False))
    assert all(a.quality.mean() < b.quality.mean() for a, b in zip(front, front[1:], strict=False))
    alone = next(row for row in rows if set(row.setting.models) == {"small"})
    assert (alone.setting.medium_from, alone.setting.complex_from) == (0.3, 0.7)


def test_a_tolerated_loss_is_cheaper(tmp_path: Path) -> None:
    """`cost` gives up what the tolerance lets it."""
    rows = rows_over(read_graded(answers(tmp_path)), RoutingSettings())
    profiles = profiles_of(rows, rule=Rule(tolerance=0.1))
    assert profiles["cost"].cost_usd.mean() < profiles["balanced"].cost_usd.mean()
    assert profiles["cost"].quality.mean() >= 0.9
    assert np.isclose(profiles["quality"].quality.mean(), 1)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quality": 1.5}, "answers.jsonl:8: `quality` must be a number from 0 to 1"),
        ({"cost_usd": "free"}, "answers.jsonl:8: `cost_usd` must be a number from 0"),
        ({"model": "other"}, "no answer of other to 'Question 0[?]': every model answers every question"),
    ],
)
def test_a_wrong_answer_is_named_with_its_line(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    """Also a model that did not answer a question."""
    with pytest.raises(DatasetError, match=said):
        read_graded(answers(tmp_path, **changes))


def test_too_few_questions_are_refused(tmp_path: Path) -> None:
    """Nothing is chosen by a handful."""
    path = answers(tmp_path)
    path.write_text("\n".join(path.read_text(encoding="utf-8").splitlines()[:30]), encoding="utf-8")
    with pytest.raises(DatasetError, match="at least 20 questions"):
        read_graded(path)
