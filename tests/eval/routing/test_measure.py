"""The routing job: its curve, its fit, and what it takes from its data."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from eval.errors import DatasetError, EvaluationError
from eval.report import Report
from eval.routing.cases import Gold, gold_answers, holds
from eval.routing.curve import Outcomes, order_metrics
from eval.routing.heads import Matrix, Prompts, fit_evidence, folds, logistic, unseen_difficulty
from eval.routing.measure import RoutingJob, demand_of, measure
from eval.routing.questions import self_made
from eval.routing.sets import read_routing_set, vectors_of
from indexes.records import Document

DIM = 384


def drawn(seed: int = 0, n: int = 400) -> tuple[Matrix, Outcomes]:
    """Return vectors whose first number says how likely the weak model fails, and outcomes."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((n, DIM))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    weak = (rng.random(n) > 1 / (1 + np.exp(-60 * vectors[:, 0]))).astype(np.float64)
    return vectors, Outcomes(weak, np.ones(n))


def test_oracle_random_and_wrong_orders() -> None:
    """The oracle saves what it can, the opposite order is worse than chance, a random one about halfway."""
    rng = np.random.default_rng(0)
    outcomes = Outcomes((rng.random(1_000) < 0.6).astype(np.float64), np.ones(1_000))
    scores = {"ragopt": outcomes.gap, "random": rng.random(1_000), "length": -outcomes.gap}
    found = order_metrics(scores, outcomes, seed=0)
    assert found["apgr.ragopt"].value == pytest.approx(1 - (1 - outcomes.weak.mean()) / 2, abs=1e-3)
    assert found["apgr.random"].low < 0.5 < found["apgr.random"].high
    assert found["apgr.length"].value < 0.3
    assert found["saving@quality>=0.98.ragopt"].value == pytest.approx(1 - 0.38, abs=0.04)
    assert found["apgr.ragopt-random"].low > 0.2
    assert all(item.low <= item.value <= item.high for item in found.values())


def test_no_gap_gives_no_interval_but_no_error() -> None:
    """Two equal models have no curve."""
    same = Outcomes(np.ones(10), np.ones(10))
    assert np.isnan(order_metrics({"random": np.arange(10.0)}, same, seed=0)["apgr.random"].value)


def test_folds_hold_whole_groups_out() -> None:
    """Each row is tested once, and no group is on both sides."""
    groups = [f"g{at % 23}" for at in range(200)]
    seen = np.zeros(200, int)
    for test in folds(groups, seed=0):
        seen += test
        names = np.array(groups)
        assert not set(names[test]) & set(names[~test])
    assert set(seen) == {1}
    with pytest.raises(EvaluationError, match="two groups"):
        next(folds(["one"] * 5, seed=0))


def test_the_general_head_finds_what_carries_over_to_unseen_domains() -> None:
    """A direction of the embedding that decides the outcome is found, in domains that were held out."""
    vectors, outcomes = drawn()
    prompts = Prompts(["x" * 50] * 399 + ["x" * 51], [f"d{at % 8}" for at in range(400)], vectors, outcomes)
    scores = unseen_difficulty(prompts, seed=0)
    assert order_metrics({"ragopt": scores}, outcomes, seed=0)["apgr.ragopt"].low > 0.55


def test_logistic_regression_recovers_its_probabilities() -> None:
    """Fractions are learned as they are."""
    rows = np.array([[0.0], [1.0]])
    weight, bias = logistic(rows, np.array([0.25, 0.75]), penalty=0)
    assert (bias, weight) == (pytest.approx(np.log(1 / 3), abs=1e-4), pytest.approx(2 * np.log(3), abs=1e-4))


def test_evidence_head_leaves_out_what_never_varies() -> None:
    """A constant feature has no weight, a telling one has its sign."""
    rows = [{"coverage": at / 100, "constant": 1.0} for at in range(100)]
    head = fit_evidence(rows, np.array([1 - at / 100 for at in range(100)]), sets=["a"] * 100)
    assert set(head.weights) == {"coverage"}
    assert head.weights["coverage"] < 0
    with pytest.raises(EvaluationError, match="no question"):
        fit_evidence([], np.zeros(0), sets=[])


def test_what_tells_the_sets_apart_is_not_difficulty() -> None:
    """Within both sets more coverage is easier, though the set with more of it is the harder one."""
    rng = np.random.default_rng(0)
    coverage = np.concatenate([rng.uniform(0, 0.5, 500), rng.uniform(0.5, 1, 500)])
    fails = np.clip(np.concatenate([0.3 - coverage[:500] / 2, 1.2 - coverage[500:] / 2]), 0, 1)
    rows = [{"coverage": float(value)} for value in coverage]
    assert fit_evidence(rows, fails, sets=["easy"] * 500 + ["hard"] * 500).weights["coverage"] < 0
    assert fit_evidence(rows, fails, sets=["all"] * 1_000).weights["coverage"] > 0


@pytest.mark.parametrize(
    ("text", "gold", "held"),
    [
        ("It cost 308 dollars.", Gold(("308",), "span"), True),
        ("It cost 3080 dollars.", Gold(("308",), "span"), False),
        ("KAWANN  Short, again", Gold(("x", "Kawann Short"), "span"), True),
        ("The weather repeats every year", Gold(("weather repeats in cycles of a year",), "prose"), True),
        ("The weather", Gold(("weather repeats in cycles of a year",), "prose"), False),
    ],
)
def test_holds_wants_whole_words_or_half_of_the_prose(text: str, gold: Gold, *, held: bool) -> None:
    """A span stands as whole words; prose by half of its topic words."""
    assert holds(text, gold) is held


def test_self_made_questions_do_not_hold_their_answer() -> None:
    """The answer is in the paragraph and not in the question, and the same seed makes the same questions."""
    texts = [f"In {1800 + at} the Royal Society of Edinburgh opened a large new reading room." for at in range(20)]
    documents = [Document(id=str(at), text=text, title="") for at, text in enumerate(texts)]
    made = list(self_made(documents, count=10, seed=1))
    assert len(made) == 10
    assert made == list(self_made(documents, count=10, seed=1))
    for query, gold in made:
        source = documents[int(query.id.removeprefix("made-"))].text
        assert holds(source, gold)
        assert not holds(query.text, gold)


def test_gold_answers_of_each_form(tmp_path: Path) -> None:
    """Spans, prose answers and conclusions are read; a question without an answer is left out."""
    rows = [
        {"query_id": "a", "answers": ["four"]},
        {"query_id": "b", "answers": [{"answer": "Because it rains."}]},
        {"query_id": "c", "label": "yes", "conclusion": "It does."},
        {"query_id": "d", "answers": []},
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = gold_answers(tmp_path)
    assert {name: gold.kind for name, gold in found.items()} == {"a": "span", "b": "prose", "c": "prose"}


def written(folder: Path, *, models: Sequence[str] = ("weak", "strong")) -> Path:
    """Write a routing set of two domains, long questions in one."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "id": str(at),
            "domain": f"d{at % 2}",
            "prompt": f"Question {at}?" + " more" * (20 * (at % 2)),
            "correct": {models[0]: bool(rng.random() < (0.4 if at % 2 else 0.9)), models[-1]: True},
        }
        for at in range(120)
    ]
    (folder / "routing.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


async def some_vectors(texts: Sequence[str]) -> Matrix:
    """Return fixed random unit vectors."""
    vectors = np.random.default_rng(1).standard_normal((len(texts), DIM))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float64)


def test_a_routing_set_is_reported_beside_other_orders(tmp_path: Path) -> None:
    """Every system has APGR and saving, every domain a segment, and the report says what was compared."""
    job = RoutingJob(vectors=tmp_path / "kept.npz")
    report: Report = asyncio.run(measure(written(tmp_path), job, encode=some_vectors))
    for system in ("ragopt", "random", "length", "domain", "oracle"):
        assert {f"apgr.{system}", f"saving@quality>=0.98.{system}"} <= set(report.metrics)
    assert report.metrics["apgr.oracle"].value > report.metrics["apgr.random"].value
    assert (report.config["weak"], report.config["strong"], report.config["scorer"]) == ("weak", "strong", "shipped")
    assert set(report.segments) == {"d0", "d1"}
    shares = [report.metrics[f"share.{tier}"].value for tier in ("simple", "medium", "complex")]
    assert sum(shares) == pytest.approx(1)
    assert job.vectors is not None
    assert job.vectors.is_file()


def test_recorded_outcomes_are_measured_whole(tmp_path: Path) -> None:
    """The first prompts of such a set are all of one domain."""
    (tmp_path / "routing.jsonl").write_text('{"id": "1", "prompt": "x", "correct": {"a": true, "b": false}}\n')
    with pytest.raises(DatasetError, match="--limit"):
        asyncio.run(measure(tmp_path, RoutingJob(1), encode=some_vectors))


def test_kept_vectors_of_other_texts_are_refused(tmp_path: Path) -> None:
    """A file of another set would give figures that mean nothing."""
    kept = tmp_path / "kept.npz"
    first = asyncio.run(vectors_of(["a", "b"], some_vectors, kept=kept))
    assert np.allclose(asyncio.run(vectors_of(["a", "b"], some_vectors, kept=kept)), first, atol=1e-6)
    with pytest.raises(DatasetError, match="other texts"):
        asyncio.run(vectors_of(["c"], some_vectors, kept=kept))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"id": "1", "prompt": "x", "correct": {"a": true}}', "two models"),
        ('{"id": "1", "prompt": "x", "correct": {"a": true, "b": 1}}', "true or false"),
        ('{"id": "1", "prompt": "x"}', "true or false"),
        ('{"id": "1", "correct": {"a": true, "b": false}}', "prompt"),
        ("", "empty"),
    ],
)
def test_a_wrong_routing_set_names_the_line(tmp_path: Path, line: str, message: str) -> None:
    """What cannot be read is said with its place."""
    (tmp_path / "routing.jsonl").write_text(line + "\n")
    with pytest.raises(DatasetError, match=message):
        read_routing_set(tmp_path)


@pytest.mark.parametrize(
    ("question", "demand"),
    [
        ("Which is larger, tea or rice, compared by weight?", "comparison"),
        ("How many teas are there?", "amount"),
        ("Why is tea green?", "reason"),
        ("Is tea green?", "yes_or_no"),
        ("How is tea made?", "manner"),
        ("Who made tea?", "fact"),
        ("Name a tea", "other"),
    ],
)
def test_questions_without_a_domain_are_parted_by_what_they_ask(question: str, demand: str) -> None:
    """The first demand that is seen names the segment."""
    assert demand_of(question) == demand
