"""What is fitted: categories that texts show, a threshold that every real set keeps to."""

from __future__ import annotations

import numpy as np

from eval.harmful.fit import threshold_of
from eval.harmful.naming import learn_categories, unseen_categories
from eval.screening.learning import Material, learn
from ragopt.screening.judging import Reading
from ragopt.screening.signs import buckets

NOUNS = {"drugs": "pill", "malware": "worm", "fraud": "cheque"}
DIM = 6


def material() -> tuple[Material, list[str]]:
    """Return harmful texts of three categories, each with a word and a direction of its own."""
    rng = np.random.default_rng(0)
    kinds = [name for name in NOUNS for _ in range(30)]
    texts = [f"How do I make a {NOUNS[name]} number {at}?" for at, name in enumerate(kinds)]
    rows = rng.normal(0, 0.1, (len(kinds), DIM)) + [3.0 * (np.arange(DIM) == list(NOUNS).index(name)) for name in kinds]
    rows = np.sqrt(DIM) * rows / np.linalg.norm(rows, axis=1, keepdims=True)
    made = Material(texts, rows.astype(np.float32), np.ones(90, bool), ["made/x"] * 90, [str(at) for at in range(90)])
    return made, kinds


def test_categories_are_learned_from_words_and_from_vectors() -> None:
    """Unseen texts are named rightly; so are texts of which only the words, or only the vector, are known."""
    made, kinds = material()
    assert all(unseen_categories(made, kinds, seed=0))
    model = learn_categories(made, kinds)
    text = "Where is my worm?"
    assert model.of(Reading(text, buckets(text)), None) == "malware"
    vector = np.eye(DIM, dtype=np.float32)[0]
    assert model.of(Reading("", buckets("")), vector) == "drugs"


def test_the_threshold_is_that_of_the_hardest_real_set() -> None:
    """No set has more above it than was allowed, however small its share of all; made texts do not count."""
    odds = np.concatenate([np.linspace(0, 1, 101), np.linspace(4, 5, 101), np.linspace(8, 9, 101)])
    sources = ["easy"] * 101 + ["hard"] * 101 + ["made/about"] * 101
    rows = Material([""] * 303, np.zeros((303, 2), np.float32), np.zeros(303, bool), sources, sources)
    threshold = threshold_of(odds, rows, 0.02)
    assert (odds[101:202] > threshold).mean() <= 0.02
    assert 4.9 < threshold < 5


def test_learning_is_the_same_for_a_seed() -> None:
    """Signs and network alike."""
    made, kinds = material()
    rows = Material(made.texts, made.rows, np.array([name == "drugs" for name in kinds]), made.sources, made.groups)
    first, second = learn(rows, seed=3), learn(rows, seed=3)
    assert np.array_equal(first.signs.weights, second.signs.weights)
    assert np.array_equal(first.meaning.hidden, second.meaning.hidden)
