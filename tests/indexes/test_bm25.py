"""The BM25 encoder, and the sparse search that it feeds, against rank-bm25."""

from __future__ import annotations

import argparse
import asyncio
import collections
import datetime
import inspect
import itertools
import json
import logging
import math
import pathlib
import random
import statistics
import string
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

import pytest
from rank_bm25 import BM25Okapi

from indexes.bm25 import K1, K3, B, Bm25Encoder
from indexes.edge import EdgeEngine
from indexes.errors import InvalidText
from indexes.records import SparseVector
from indexes.store import Point, Where

# Real English of all lengths that is on every machine.
MODULES = (
    argparse,
    asyncio,
    collections,
    datetime,
    itertools,
    json,
    logging,
    pathlib,
    random,
    statistics,
    string,
    subprocess,
    threading,
)
QUESTIONS = (
    "How do I wait until all tasks have finished?",
    "median of grouped continuous data",
    "read the content of a file as text",
    "decode a JSON document from a string",
    "remove an element and raise an error if the queue is empty",
    "difference between two dates in seconds",
    "choose a random element with weights",
    "which thread holds the lock",
    "iterator that repeats elements",
    "parse command line arguments",
    "log a message with level error",
    "run a command and capture its output",
)


def corpus() -> list[str]:
    """Return the distinct docstrings of the modules' classes, functions and methods, in a fixed order."""
    texts: set[str] = set()
    for module in MODULES:
        members = [value for name, value in vars(module).items() if not name.startswith("_")]
        members += [method for value in members if inspect.isclass(value) for method in vars(value).values()]
        texts |= {item.__doc__ for item in members if isinstance(item.__doc__, str) and len(item.__doc__) > 40}
    return sorted(texts)


def terms_of(text: str) -> list[int]:
    """Return the encoder's term ids of a text, each as often as it occurs.

    Without length normalisation a weight is tf (k + 1) / (tf + k), which gives the frequency back.
    """
    vector = Bm25Encoder(b=0.0).document(text)
    frequencies = [round(weight * K1 / (K1 + 1 - weight)) for weight in vector.values]
    return [term for term, times in zip(vector.indices, frequencies, strict=True) for _ in range(times)]


def sparse_search(encoder: Bm25Encoder, texts: Sequence[str], folder: Path) -> list[dict[int, float]]:
    """Return, for each question, the score of every text that the embedded store finds."""

    async def search() -> list[dict[int, float]]:
        engine = EdgeEngine(folder)
        store = await engine.open("corpus", dim=4)
        await store.upsert(
            [Point(str(UUID(int=n)), {"n": n}, None, encoder.document(text)) for n, text in enumerate(texts)]
        )
        answers = []
        for question in QUESTIONS:
            hits = await store.search_sparse(encoder.question(question), Where(), limit=len(texts))
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
            answers.append({UUID(hit.id).int: hit.score for hit in hits})
        await engine.close()
        return answers

    return asyncio.run(search())


def spearman(left: Sequence[float], right: Sequence[float]) -> float:
    """Return the rank correlation of two lists of scores, ties given their mean rank."""

    def ranks(scores: Sequence[float]) -> list[float]:
        ordered = sorted(scores)
        return [ordered.index(score) + (ordered.count(score) - 1) / 2 for score in scores]

    return statistics.correlation(ranks(left), ranks(right))


def test_sparse_search_agrees_with_rank_bm25(tmp_path: Path) -> None:
    """Over some 800 real texts the store gives every text the score of BM25Okapi with the same terms, k1, b and IDF.

    BM25Okapi's own IDF is ln((N - n + 0.5) / (n + 0.5)), negative for a term in more than half of the
    texts and then replaced by a share of the mean; the store's has 1 added inside the logarithm. With
    the store's IDF put in, scores are equal; with its own, the ranking of what was found correlates.
    """
    texts = corpus()
    terms = [terms_of(text) for text in texts]
    encoder = Bm25Encoder(avg_terms=statistics.mean(map(len, terms)))
    found = sparse_search(encoder, texts, tmp_path)
    oracle = BM25Okapi(terms, k1=K1, b=B)
    own = [oracle.get_scores(encoder.question(question).indices) for question in QUESTIONS]
    containing = collections.Counter(term for text in terms for term in set(text))
    oracle.idf = {term: math.log(1 + (len(texts) - n + 0.5) / (n + 0.5)) for term, n in containing.items()}
    assert len(texts) > 300
    for question, scores, stock in zip(QUESTIONS, found, own, strict=True):
        exact = oracle.get_scores(encoder.question(question).indices)
        assert len(scores) > 10
        assert {n: score for n, score in enumerate(exact) if score > 0} == pytest.approx(scores, rel=1e-4)
        assert spearman([scores[n] for n in scores], [round(stock[n], 6) for n in scores]) > 0.99


def test_weights_are_the_formula() -> None:
    """A weight is tf (k1 + 1) / (tf + k1 (1 - b + b length / average length)), stop words not counted."""
    vector = Bm25Encoder(k1=2.0, b=0.5, avg_terms=10.0).document("The foxes saw a fox, and foxes saw the dog")
    norm = 2.0 * (1 - 0.5 + 0.5 * 6 / 10)
    assert sorted(vector.values) == pytest.approx(sorted(tf * 3.0 / (tf + norm) for tf in (3, 2, 1)))


def test_question_and_document_share_terms() -> None:
    """Case, inflection and stop words make no difference, and a term that a question has once weighs 1."""
    encoder = Bm25Encoder()
    question = encoder.question("Is the DOG running?")
    assert set(question.indices) == set(encoder.document("a dog runs").indices)
    assert question.values == (1.0, 1.0)


def test_repeats_in_a_question_saturate() -> None:
    """A term weighs (k3 + 1) tf / (k3 + tf), however long the question is, and never k3 + 1."""
    vector = Bm25Encoder().question("A fox. Two foxes, three FOXES: " + "dog " * 5_000 + "cat")
    assert sorted(vector.values) == pytest.approx([1, 1, 1, 3 * (K3 + 1) / (K3 + 3), 5_000 * (K3 + 1) / (K3 + 5_000)])
    assert max(vector.values) < K3 + 1


@pytest.mark.parametrize("text", ["", " \n\t", "?!… —", "the of and", "\x00"])
def test_text_without_terms(text: str) -> None:
    """A text without words, or with stop words alone, has no terms."""
    assert Bm25Encoder().document(text) == SparseVector((), ())
    assert Bm25Encoder().question(text) == SparseVector((), ())


def test_lone_surrogate_is_refused() -> None:
    """A text that is not valid Unicode is an `InvalidText`."""
    with pytest.raises(InvalidText):
        Bm25Encoder().document("a\ud800")
    with pytest.raises(InvalidText):
        Bm25Encoder().question("a\ud800")


def test_threads_share_an_encoder() -> None:
    """Eight threads that use one encoder at once get what one thread gets."""
    encoder = Bm25Encoder()
    texts = corpus()[:200]
    expected = [encoder.document(text) for text in texts]
    results: list[list[SparseVector]] = []
    threads = [
        threading.Thread(target=lambda: results.append([encoder.document(text) for text in texts])) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 8
