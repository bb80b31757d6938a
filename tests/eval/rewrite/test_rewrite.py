"""The rewrite job: its sets, its fit and its figures."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from eval.errors import DatasetError
from eval.rewrite.fit import FitRewriteJob, run, unseen_models
from eval.rewrite.learning import logistic, material_of, materials_of, rarity_of
from eval.rewrite.measure import RewriteJob, gap_closed, measure, search_metrics
from eval.rewrite.sets import conversation_of, read_rewrite_set
from ragopt.stages.rewrite.selector import model_from_json
from tests.eval.folders import lines, written_set

NAMES = ["Ada Lovelace", "Frank Zappa", "Marie Curie", "Alan Turing", "Grace Hopper", "Emmy Noether"]
ASKED = ["born", "famous", "married", "buried"]


def conversations_of(folder: Path) -> Path:
    """Return `folder` with six conversations of a name, a follow-up for each, and a question that stands alone."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for at, name in enumerate(NAMES):
        history = [{"role": "user", "text": f"Who was {name}?"}, {"role": "assistant", "text": "A famous person."}]
        rows.append({"id": f"c{at}#1", "history": [], "query": f"Who was {name}?", "rewrite": f"Who was {name}?"})
        rows += [
            {
                "id": f"c{at}#{n}",
                "history": history,
                "query": f"Where was it {word}?",
                "rewrite": f"Where was {name} {word}?",
            }
            for n, word in enumerate(ASKED, start=2)
        ]
        alone = f"What does a baker in {word_of(at)} feed every day?"
        rows.append({"id": f"c{at}#9", "history": history, "query": alone, "rewrite": alone.upper()})
    lines(folder / "rewrites.jsonl", rows)
    return folder


def word_of(at: int) -> str:
    return ["Paris", "Rome", "Oslo", "Bonn", "Kyiv", "Lima"][at]


def test_a_set_is_read(tmp_path: Path) -> None:
    """First turns, and those that the person left but for case and marks, are self-contained."""
    found = read_rewrite_set(conversations_of(tmp_path / "chats"))
    assert (found.name, len(found.cases)) == ("chats", 36)
    assert [case.self_contained for case in found.cases[:6]] == [True, False, False, False, False, True]
    assert found.cases[1].missing == {"ada", "lovelace"}
    assert [conversation_of(key) for key in ("a_b#3", "x<::>2", "31_4", "one")] == ["a_b", "x", "31", "one"]


@pytest.mark.parametrize(
    "row",
    [
        {"id": "1", "history": 1, "query": "q", "rewrite": "r"},
        {"id": "1", "history": [1], "query": "q", "rewrite": "r"},
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, row: dict[str, object]) -> None:
    """With its file and line."""
    lines(tmp_path / "rewrites.jsonl", [row])
    with pytest.raises(DatasetError, match=r"rewrites\.jsonl:1: "):
        read_rewrite_set(tmp_path)


def test_common_words_are_less_rare() -> None:
    """A word of every text is 0, one that is not in the table 1."""
    table = rarity_of(["the cat sleeps", "a cat purrs", "cat food"])
    assert table.of("cat") < table.of("purr") == table.of("zebra") == 1.0


def test_material_counts_every_candidate_once(tmp_path: Path) -> None:
    """Rows and owners fit together, also without some conversations; answers are left out in the second copy."""
    cases = read_rewrite_set(conversations_of(tmp_path)).cases
    rarity = rarity_of(case.query for case in cases)
    whole, bare = materials_of(cases, rarity)
    assert len(whole.cases) == len(bare.cases) == len(whole.signs) == 30
    assert len(whole.rows) == len(whole.carried) == len(whole.owners) > len(bare.rows)
    part = whole.without(frozenset({"c0", "c3"}))
    again = material_of([case for case in cases if case.conversation not in ("c0", "c3")], rarity)
    assert part.rows == again.rows
    assert part.owners.tolist() == again.owners.tolist()


def test_logistic_regression_finds_what_separates() -> None:
    """The sign of each weight is that of what it was made from."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((2_000, 2))
    answers = (rng.random(2_000) < 1 / (1 + np.exp(-(2 * rows[:, 0] - rows[:, 1] + 1)))).astype(np.float64)
    weights = logistic(rows, answers, weights=np.ones(2_000))
    assert weights[0] > 0.8 > 0 > weights[1]
    assert weights[2] > 0.3


def test_a_fit_is_written_and_the_same_again(tmp_path: Path) -> None:
    """Two fits with one seed are one file; unseen models are one for each conversation."""
    folder, words = conversations_of(tmp_path / "chats"), written_set(tmp_path / "words")
    job = FitRewriteJob((folder,), words=words)
    report = run(job, tmp_path / "a.json")
    run(job, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert report.metrics["turns_that_lean"].value == 48
    model = model_from_json((tmp_path / "a.json").read_bytes())
    found = read_rewrite_set(folder)
    assert set(unseen_models(found, [], rarity=model.rarity, seed=0)) == {f"c{at}" for at in range(6)}


def test_words_and_changes_are_measured(tmp_path: Path) -> None:
    """By the model that ships, and by models that saw neither the conversation nor anything else."""
    folder = conversations_of(tmp_path / "chats")
    shipped = asyncio.run(measure(folder, RewriteJob(limit=12)))
    assert shipped.config["model"] == "ships, has not seen this set"
    assert shipped.metrics["term_recall.ragopt"].value > shipped.metrics["term_recall.last_turn"].value
    unseen = asyncio.run(measure(folder, RewriteJob(fit_with=(folder,))))
    assert unseen.config["model"] == "fitted to other conversations"
    assert unseen.metrics["term_f1.ragopt"].value > 0.9
    assert unseen.metrics["changed_self_contained"].value == 0
    assert unseen.metrics["changed_others"].value > 0.9


def test_the_gap_is_shared_out() -> None:
    """Half of the gain is half of the gap, with an interval around it; without a gain there is no share."""
    rng = np.random.default_rng(1)
    last = rng.random(60) / 2
    gain = rng.random(60) / 2
    scores = {"last_turn": last, "ragopt": last + gain / 2, "human": last + gain}
    found = gap_closed("gap_closed", scores, seed=0)["gap_closed"]
    assert found.value == pytest.approx(0.5)
    assert found.low <= 0.5 <= found.high
    assert gap_closed("gap_closed", {**scores, "human": last - gain}, seed=0) == {}
    rankings = {name: {key: list(of) for key in ("full", "bm25", "dense", "rrf")} for name, of in scores.items()}
    metrics = search_metrics(rankings, seed=0)
    assert metrics["ndcg@10.ragopt"].value == pytest.approx(float(scores["ragopt"].mean()))
    assert metrics["ndcg@10.human-last_turn"].low > 0
