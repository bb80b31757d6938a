"""Questions made from a corpus, for users who have none: deterministic, no model.

A sentence becomes a query of its commonest topic words, as if the rarer ones were asked for; the
sentence is the reference. The words of such a query all stand in its answer, as those of a real question
do not: it favours BM25, and says little about how to weigh it.

Measured on 120 real questions of one set with spans, recall % at 100 / 200 / 400 / 800 tokens: real
74 / 85 / 93 / 97, these 76 / 86 / 94 / 98; with the rarest words but one of the most telling sentences
98 / 99 / 99 / 100, so easy that the smallest budget always won.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from eval.datasets import Dataset, Query, Reference
from eval.errors import DatasetError
from indexes.records import Document
from indexes.sentences import sentence_spans
from ragopt.evidence import words

DERIVED_QUESTIONS = 200

MIN_WORDS, MAX_WORDS = 8, 50
QUERY_WORDS = 4
MIN_TOPIC_WORDS = QUERY_WORDS + 2
PARAGRAPH = re.compile(r"(?:[^\n]+\n?)+")
# A heading, table row, code fence or quoted block is not prose.
MARKED = re.compile(r"\s*[#|`>=]")
ENDS_AS_SENTENCE = re.compile(r"[.!?][\"'”’)\]]*$")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of prose that a question can be made from; `topic` are its distinct topic words in order."""

    document_id: str
    start: int
    end: int
    topic: tuple[str, ...]


def derived_questions(name: str, documents: Sequence[Document], *, limit: int) -> Dataset:
    """Return the documents with at most `limit` questions, spread evenly over their sentences.

    Raises: `DatasetError` if no sentence is fit for one.
    """
    sentences = said_once([sentence for document in documents for sentence in fit_sentences(document)])
    if not sentences:
        raise DatasetError(f"{name}: no sentence is fit to derive a question from: give a file with --questions")
    counts = Counter(word for sentence in sentences for word in sentence.topic)
    picked = [typical_of(group, counts) for group in even_groups(sentences, limit)]
    queries = [
        Query(f"derived-{at}", " ".join(query_words(item, counts)), "") for at, item in enumerate(picked, start=1)
    ]
    return Dataset(
        name=name,
        documents=tuple(documents),
        queries=tuple(queries),
        qrels={query.id: {item.document_id: 1} for query, item in zip(queries, picked, strict=True)},
        references={
            query.id: (Reference(item.document_id, item.start, item.end),)
            for query, item in zip(queries, picked, strict=True)
        },
    )


def fit_sentences(document: Document) -> list[Sentence]:
    """Return the sentences of a document that are prose, not too short, and have enough topic words."""
    found: list[Sentence] = []
    for paragraph in PARAGRAPH.finditer(document.text):
        for start, end in sentence_spans(document.text, *paragraph.span()):
            text = document.text[start:end]
            topic = tuple(dict.fromkeys(words(text)))
            is_prose = ENDS_AS_SENTENCE.search(text) and not MARKED.match(text)
            if is_prose and MIN_WORDS <= len(text.split()) <= MAX_WORDS and len(topic) >= MIN_TOPIC_WORDS:
                found.append(Sentence(document.id, start, end, topic))
    return found


def said_once(sentences: Sequence[Sentence]) -> list[Sentence]:
    """Return the sentences whose topic words no other has: of a repeated one, each place answers as well."""
    counts = Counter(sentence.topic for sentence in sentences)
    return [sentence for sentence in sentences if counts[sentence.topic] == 1]


def even_groups(sentences: Sequence[Sentence], limit: int) -> list[Sequence[Sentence]]:
    """Return at most `limit` runs of neighbouring sentences, of equal length but for one, none empty."""
    groups = min(limit, len(sentences))
    edges = [len(sentences) * at // groups for at in range(groups + 1)]
    return [sentences[start:end] for start, end in pairwise(edges)]


def typical_of(group: Sequence[Sentence], counts: Counter[str]) -> Sentence:
    """Return the sentence whose query tells neither most nor least: the middle one by its words' weights."""
    by_weight = sorted(group, key=lambda item: sum(weight(word, counts) for word in query_words(item, counts)))
    return by_weight[len(by_weight) // 2]


def query_words(sentence: Sentence, counts: Counter[str]) -> list[str]:
    """Return the 4 commonest topic words, in the order of the sentence."""
    kept = set(sorted(sentence.topic, key=lambda word: (-counts[word], sentence.topic.index(word)))[:QUERY_WORDS])
    return [word for word in sentence.topic if word in kept]


def weight(word: str, counts: Counter[str]) -> float:
    """Return how much a word tells: the logarithm of how rare it is.

    Source: Spärck Jones, "A statistical interpretation of term specificity and its application in
    retrieval", Journal of Documentation 28(1), 1972.
    """
    return math.log(1 + counts.total() / counts[word])
