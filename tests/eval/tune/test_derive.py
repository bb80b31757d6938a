"""Questions made from a corpus: from its sentences, spread over it, the same every time."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.errors import DatasetError
from eval.tune.derive import derived_questions
from eval.tune.questions import Wanted, read_workload
from indexes.records import Document
from ragopt.config import load_settings
from ragopt.evidence import words
from tests.environment import environment

SENTENCES = [
    "The harbour office of Marstal opens at seven in the morning during summer.",
    "Every captain reports the length and the draught of the vessel to the office.",
    "Boats without insurance papers stay outside the basin until the papers arrive.",
    "The crane beside the northern pier lifts vessels of up to twelve tonnes.",
]
TEXT = "# Harbour rules\n\n" + " ".join(SENTENCES) + "\n\n| crane | twelve tonnes |\n\nShort one here.\n"


def test_each_question_is_topic_words_of_the_sentence_it_refers_to() -> None:
    """All words of a query stand in its span, in order, and others are held back."""
    found = derived_questions("harbour", [Document("rules", TEXT)], limit=10)
    assert len(found.queries) == 4
    for query in found.queries:
        (reference,) = found.references[query.id]
        sentence = TEXT[reference.start : reference.end]
        assert sentence in SENTENCES
        topic = list(dict.fromkeys(words(sentence)))
        asked = query.text.split()
        assert [word for word in topic if word in asked] == asked
        assert len(asked) == 4 < len(topic)
        assert found.qrels[query.id] == {"rules": 1}


def test_fewer_questions_are_spread_over_the_corpus() -> None:
    """Two questions from two documents: one from each half of the sentences."""
    documents = [Document("one", " ".join(SENTENCES[:2])), Document("two", " ".join(SENTENCES[2:]))]
    found = derived_questions("harbour", documents, limit=2)
    assert [found.references[query.id][0].document_id for query in found.queries] == ["one", "two"]
    assert found.queries == derived_questions("harbour", documents, limit=2).queries


def test_a_sentence_that_stands_in_several_places_is_not_asked_for() -> None:
    """Each place would answer, and only one would count."""
    documents = [Document("one", TEXT), Document("two", " ".join(SENTENCES[:3]))]
    found = derived_questions("harbour", documents, limit=10)
    (reference,) = [found.references[query.id][0] for query in found.queries]
    assert TEXT[reference.start : reference.end] == SENTENCES[3]


def test_a_corpus_without_sentences_is_refused() -> None:
    """A table and a heading are no prose; the message says what to do."""
    with pytest.raises(DatasetError, match="--questions"):
        derived_questions("table", [Document("t", "# Heading\n\n| a | b |\n")], limit=5)


def test_a_corpus_without_a_file_of_questions_gets_derived_ones(tmp_path: Path) -> None:
    """The workload says that nobody asked them."""
    (tmp_path / "rules.md").write_text(TEXT, encoding="utf-8")
    with environment():
        found = read_workload(Wanted(corpus=(tmp_path,), limit=3), load_settings())
    assert (found.derived, len(found.dataset.queries)) == (True, 3)
