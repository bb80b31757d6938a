"""Which variant a question gets."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from ragopt.domain import Question
from ragopt.experiments.assigning import applied, assigned
from ragopt.settings.experiments import ExperimentSettings

ARMS = ({"name": "control", "share": 3}, {"name": "short", "share": 1, "context_tokens": 400, "model": "small"})


def experiment(**fields: Any) -> ExperimentSettings:
    """Return an experiment of two variants, the control three times as large."""
    return ExperimentSettings.model_validate({"name": "e", "variants": ARMS, **fields})


def question(**fields: Any) -> Question:
    """Return a question of a tenant."""
    return Question(**{"text": "Why?", "tenant": "acme", "answer_id": "ans_1", **fields})


def variant_of(described: ExperimentSettings, asked: Question, conversation_id: str | None = None) -> str:
    """Return the name of the variant."""
    found = assigned(asked, [described], conversation_id=conversation_id, stopped=())
    assert found is not None
    return found.variant.name


def test_shares_are_kept_over_many_conversations() -> None:
    """A quarter of the conversations gets the variant of a quarter's share, within chance."""
    counts = Counter(variant_of(experiment(), question(), f"c{n}") for n in range(4_000))
    assert counts["short"] == pytest.approx(1_000, abs=4 * (4_000 * 0.25 * 0.75) ** 0.5)


def test_conversation_keeps_its_variant_and_another_experiment_shuffles_anew() -> None:
    """The hash is of experiment, tenant and unit, nothing else."""
    first = [variant_of(experiment(), question(text=f"{n}?", answer_id=f"a{n}"), "c1") for n in range(20)]
    assert len(set(first)) == 1
    names = [f"c{n}" for n in range(200)]
    same = [variant_of(experiment(), question(), name) for name in names]
    other = [variant_of(experiment(name="f"), question(), name) for name in names]
    assert same != other


def test_request_without_a_unit_is_one_of_its_own() -> None:
    """Without conversation or user the answers of one caller are spread over the variants."""
    for unit in ("conversation", "user", "request"):
        spread = {variant_of(experiment(unit=unit), question(answer_id=f"a{n}")) for n in range(60)}
        assert spread == {"control", "short"}
    user = {variant_of(experiment(unit="user"), question(answer_id=f"a{n}", labels={"user": "ann"})) for n in range(60)}
    assert len(user) == 1


def test_experiment_is_for_its_tenant_and_collection_alone() -> None:
    """The first that fits decides; none fits, none is taken part in."""
    narrow, wide = experiment(name="narrow", collection="hr"), experiment(name="wide", tenant="acme")
    found = assigned(question(), [narrow, wide], conversation_id="c", stopped=())
    assert found is not None
    assert found.experiment.name == "wide"
    assert assigned(question(tenant="other"), [wide], conversation_id="c", stopped=()) is None


def test_stopped_variant_s_traffic_goes_to_the_control() -> None:
    """Its conversations are told apart from the control's own."""
    name = next(f"c{n}" for n in range(99) if variant_of(experiment(), question(), f"c{n}") == "short")
    found = assigned(question(), [experiment()], conversation_id=name, stopped={"e/short"})
    assert found is not None
    assert (found.variant.name, found.stopped) == ("control", True)


def test_variant_changes_what_it_names_and_nothing_else() -> None:
    """A model that the request names stays; instructions of the application stand first."""
    described = experiment(variants=({"name": "a", "share": 1}, {**ARMS[1], "share": 1, "instructions": "Be brief."}))
    found = next(
        item
        for n in range(99)
        if (item := assigned(question(), [described], conversation_id=f"c{n}", stopped=())) and item.name == "e/short"
    )
    changed = applied(question(instructions="In French."), found)
    assert (changed.knobs.context_tokens, changed.knobs.top_k) == (400, question().knobs.top_k)
    assert (changed.model, changed.variant) == ("small", "e/short")
    assert changed.instructions == "In French.\n\nBe brief."
    assert applied(question(model="strong"), found).model == "strong"
    assert applied(question(), None) == question()


def test_variant_shows_its_own_examples_or_none() -> None:
    """A variant without the setting shows the collection's, one with an empty file shows none."""
    shown = {"question": "Why?", "passages": ["Because."], "answer": "Because [1]."}
    for examples, expected in ((None, "as before"), ((), ""), ((shown,), "Question: Why?")):
        described = experiment(variants=({"name": "a", "share": 1, "examples": examples}, {**ARMS[1], "share": 1e-9}))
        found = assigned(question(), [described], conversation_id="c", stopped=())
        assert applied(question(examples="as before"), found).examples.startswith(expected)
        assert bool(applied(question(examples="as before"), found).examples) == bool(expected)
