"""The job `cache` and what the verifier is trained on, over small folders, with a judge and vectors of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from eval.cache.fit import fit_calibration
from eval.cache.measure import CacheJob, Judge, measure, pairs_of
from eval.cache.sets import QuestionPair, read_question_set
from eval.cache.splits import key_of
from eval.cache.training_pairs import is_learned, is_new_intent, material_of, pairs_for_testing
from eval.errors import DatasetError
from eval.report import Report, as_json
from eval.routing.curve import Vector

TOPICS = ("rent", "bread", "cars", "trains", "sugar", "boats", "shoes", "grapes", "lamps", "clocks")


async def by_letters(texts: Sequence[str]) -> Vector:
    """Return how often each letter is in a text, as unit rows."""
    counts = np.array([[text.lower().count(chr(97 + at)) for at in range(26)] for text in texts], np.float64) + 1e-3
    return np.asarray(counts / np.linalg.norm(counts, axis=1, keepdims=True), np.float64)


class ByTopic:
    """A judge who is right: two questions are the same where they name one topic."""

    async def scores(self, asked: str, kept: Sequence[str]) -> Sequence[float]:
        """Return 0.9 or 0.1 for each."""
        return [0.9 if topic_of(asked) == topic_of(text) else 0.1 for text in kept]


def topic_of(text: str) -> str:
    """Return the topic a text names."""
    return next(topic for topic in TOPICS if topic in text)


def pairs_folder(folder: Path) -> Path:
    """Write 400 pairs of questions about topics."""
    folder.mkdir()
    rows = []
    for number in range(400):
        one, other = TOPICS[number % 10], TOPICS[number % 10 if number % 2 else (number + 3) % 10]
        rows.append({"a": f"what do {one} cost {number}", "b": f"price of {other} {number}", "duplicate": one == other})
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def intents_folder(folder: Path) -> Path:
    """Write 160 utterances of ten intents, half of which may be trained on."""
    folder.mkdir()
    rows = [
        {"text": f"tell me about {topic} {number}", "intent": topic, "split": "test" if number % 2 else "train"}
        for topic in TOPICS
        for number in range(16)
    ]
    (folder / "intents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def measured(folder: Path, *, trained_on: frozenset[str] = frozenset()) -> Report:
    """Return the report of a folder by the judge who is right."""
    judge = Judge(ByTopic(), "right", trained_on)
    return asyncio.run(measure(folder, CacheJob(), judge=judge, encode=by_letters))


def test_a_right_judge_serves_everything(tmp_path: Path) -> None:
    """All duplicates are served at no wrong one, beside the cosine; calibrated levels keep their bound."""
    report = measured(pairs_folder(tmp_path / "pairs"))
    assert (report.n, report.config["pairs"]) == (400, "given")
    metrics = report.metrics
    for bound in ("0.05", "0.10"):
        assert metrics[f"duplicates_served@wrong<={bound}.ragopt"].value == 1.0
        assert metrics[f"duplicates_served@wrong<={bound}.cosine"].value < 1.0
        assert metrics[f"ratio@wrong<={bound}"].value > 1
        assert metrics[f"wrong_served@bound={bound}"].value == 0.0
        assert metrics[f"splits_within@bound={bound}"].value <= 20
    assert metrics["calibrated_served@bound=0.10"].value > 0.5
    assert as_json(report) == as_json(measured(tmp_path / "pairs"))


def test_pairs_of_intents_are_built_of_the_test_part(tmp_path: Path) -> None:
    """A set of intents is measured on pairs of its test part."""
    report = measured(intents_folder(tmp_path / "intents"))
    assert report.config["pairs"] == "built of intents"
    assert 80 <= report.n <= 160
    assert report.metrics["duplicates_served@wrong<=0.05.ragopt"].value == 1.0


def test_a_set_that_was_trained_on_is_measured_on_the_rest(tmp_path: Path) -> None:
    """Only the pairs that are never trained on count."""
    question_set = read_question_set(pairs_folder(tmp_path / "pairs"))
    report = measured(tmp_path / "pairs", trained_on=frozenset({question_set.digest}))
    assert report.n == len(pairs_for_testing(question_set)) < 150
    assert report.config["seen"] == "questions never trained on"


def test_trained_intents_are_told_from_new_ones(tmp_path: Path) -> None:
    """Of an intent set that was trained on no utterance that was learned counts, and new intents are a part."""
    question_set = read_question_set(intents_folder(tmp_path / "intents"))
    judge = frozenset({question_set.digest})
    pairs = asyncio.run(pairs_of(question_set, by_letters, trained_on=judge, seed=0))
    learned = {item.text for item in question_set.utterances if is_learned(item)}
    intents = {item.text: item.intent for item in question_set.utterances}
    assert learned
    assert not learned & {text for pair in pairs for text in (pair.a, pair.b)}
    assert {pair.segment for pair in pairs} == {"new intents", "trained intents"}
    for pair in pairs:
        both_new = is_new_intent(intents[pair.a]) and is_new_intent(intents[pair.b])
        assert both_new == (pair.segment == "new intents")


def test_pairs_of_one_kind_are_refused(tmp_path: Path) -> None:
    """Without duplicates there is nothing to serve."""
    (tmp_path / "pairs.jsonl").write_text('{"a": "rent", "b": "cars", "duplicate": false}\n')
    with pytest.raises(DatasetError, match="pairs that are the same and pairs that are not"):
        measured(tmp_path)


def test_nothing_that_is_tested_is_trained_on(tmp_path: Path) -> None:
    """No question of test pairs, test utterances, held-back intents or pairs that choose is in the training part."""
    folders = [pairs_folder(tmp_path / "pairs"), intents_folder(tmp_path / "intents"), tmp_path / "talks"]
    folders[2].mkdir()
    talks = [
        {"id": f"t{at // 4}#{at}", "rewrite": f"How old is the {topic} of Rome?"} for at, topic in enumerate(TOPICS)
    ]
    talks.append({"id": "t9#1", "rewrite": "price of rent 17"})
    (folders[2] / "rewrites.jsonl").write_text("".join(json.dumps(row) + "\n" for row in talks))
    material = asyncio.run(material_of(folders, seed=0, encode=by_letters))
    assert {pair.source for pair in material.train} == {"pairs", "intents", "made", "conversations"}
    trained = {key_of(text) for pair in material.train for text in (pair.a, pair.b)}
    hidden = [text for pair in pairs_for_testing(read_question_set(folders[0])) for text in (pair.a, pair.b)]
    hidden += [text for pair in material.choice for text in (pair.a, pair.b)]
    utterances = read_question_set(folders[1]).utterances
    hidden += [item.text for item in utterances if item.split == "test" or is_new_intent(item.intent)]
    assert not trained & {key_of(text) for text in hidden}
    assert set(material.digests) == {"pairs", "intents"}
    assert material == asyncio.run(material_of(folders, seed=0, encode=by_letters))


def test_the_calibration_is_the_likeliest() -> None:
    """Chances that follow the logit are found again; what differs can only count against a pair."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=3_000) * 2
    same = rng.random(3_000) < 1 / (1 + np.exp(-(1.5 * logits - 0.5)))
    ends = rng.choice(["", " in 2016"], 3_000)
    pairs = [QuestionPair("what is tea", f"what is tea{end}", bool(one)) for end, one in zip(ends, same, strict=True)]
    calibration = fit_calibration(pairs, logits)
    assert calibration.weights["logit"] == pytest.approx(1.5, abs=0.15)
    assert calibration.intercept == pytest.approx(-0.5, abs=0.2)
    assert all(weight <= 0 for name, weight in calibration.weights.items() if name != "logit")
