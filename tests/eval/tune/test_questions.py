"""A user's own corpus and questions: what is read, what is refused and where the message points."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from eval.datasets import Reference
from eval.errors import DatasetError
from eval.tune.questions import Wanted, Workload, read_workload
from ragopt.config import load_settings
from ragopt.errors import InvalidRequest
from tests.environment import environment

LEAVE = "# Leave\n\nEmployees have 28 days\nof paid leave. Unused days lapse in March."
TRAVEL = "# Travel\n\nTrains are booked by the office. Unused tickets go back to the office."


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a folder with two documents, `handbook/leave.md` and `handbook/travel.md`."""
    folder = tmp_path / "handbook"
    folder.mkdir()
    (folder / "leave.md").write_text(LEAVE, encoding="utf-8")
    (folder / "travel.md").write_text(TRAVEL, encoding="utf-8")
    return folder


def read(corpus: Path, *questions: object, limit: int | None = None, seed: int = 0) -> Workload:
    """Return the workload of these lines over the corpus."""
    file = corpus.parent / "questions.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in questions), encoding="utf-8")
    with environment():
        return read_workload(Wanted(corpus=(corpus,), questions=file, limit=limit, seed=seed), load_settings())


def test_a_quote_is_found_whatever_the_white_space(corpus: Path) -> None:
    """The words stand on two lines of the document and on one of the question; the span is the document's."""
    found = read(
        corpus, {"question": "How much leave?", "document": "handbook/leave.md", "quote": "28 days of paid leave"}
    )
    (reference,) = found.dataset.references["q1"]
    assert LEAVE[reference.start : reference.end] == "28 days\nof paid leave"
    assert found.relevant(found.dataset.queries[0]) == ["handbook/leave.md"]
    assert not found.derived


def test_a_quote_alone_finds_its_document_and_a_document_alone_is_enough(corpus: Path) -> None:
    """Both are relevant documents; only the quote is a span."""
    found = read(
        corpus,
        {"question": "When do days lapse?", "quote": "lapse in March"},
        {"question": "Who books?", "documents": ["handbook/travel.md", "handbook/leave.md"]},
        {"question": "Both?", "document": "handbook/travel.md", "quote": ["Trains are", "the office"], "segment": "s"},
    )
    by_id = {query.id: query for query in found.dataset.queries}
    assert found.relevant(by_id["q1"]) == ["handbook/leave.md"]
    assert found.relevant(by_id["q2"]) == ["handbook/leave.md", "handbook/travel.md"]
    assert set(found.dataset.references) == {"q1", "q3"}
    assert found.dataset.references["q3"][0] == Reference("handbook/travel.md", 10, 20)
    assert (by_id["q1"].segment, by_id["q3"].segment) == ("", "s")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"question": "q", "quote": "not in there"}, "the quote 'not in there' is not in any document"),
        ({"question": "q", "document": "handbook/leave.md", "quote": "Trains"}, "is not in 'handbook/leave.md'"),
        ({"question": "q", "quote": "Unused"}, "is in 2 documents: name one"),
        ({"question": "q", "document": "handbook/leaf.md"}, "did you mean 'handbook/leave.md'"),
        ({"question": "q"}, "needs a `document`, a `quote` or both"),
        ({"question": " ", "quote": "Trains"}, "`question` is empty"),
        ({"quote": "Trains"}, "`question` must be a string"),
        ({"question": "q", "qoute": "Trains"}, "unknown field `qoute`"),
        ({"question": "q", "quote": ""}, "`quote` must be a text"),
        ({"question": "q", "documents": [1]}, "`documents` must be a text"),
        ({"question": "q", "quote": "Trains", "segment": 5}, "`segment` must be a string"),
    ],
)
def test_a_wrong_line_is_named_with_its_number(corpus: Path, line: object, said: str) -> None:
    """The second line is at fault, and the message says which and why."""
    good = {"question": "q", "quote": "Trains"}
    with pytest.raises(DatasetError, match=r"questions\.jsonl:2: ") as raised:
        read(corpus, good, line)
    assert said in str(raised.value)


def test_a_file_without_questions_is_refused(corpus: Path) -> None:
    """There is nothing to tune on."""
    with pytest.raises(DatasetError, match=r"questions\.jsonl: there is no question"):
        read(corpus)


def test_files_that_cannot_be_read_are_left_out_and_said(corpus: Path) -> None:
    """Empty files and a damaged PDF are a note of the report; the rest is tuned on."""
    (corpus / "blank.md").write_text("", encoding="utf-8")
    (corpus / "broken.pdf").write_bytes(b"no pdf")
    (corpus / "more.jsonl").write_text('{"id": "void", "text": " "}\n', encoding="utf-8")
    found = read(corpus, {"question": "q", "quote": "Trains"})
    assert len(found.dataset.documents) == 2
    assert found.notes[0].startswith("2 documents left out: handbook/blank.md: ")


def test_a_corpus_of_nothing_is_refused(tmp_path: Path) -> None:
    """A folder without documents, and a path that is not there."""
    with environment():
        with pytest.raises(DatasetError, match="no document can be read"):
            read_workload(Wanted(corpus=(tmp_path,)), load_settings())
        with pytest.raises(InvalidRequest, match="no such file"):
            read_workload(Wanted(corpus=(tmp_path / "gone",)), load_settings())


def test_json_lines_are_documents_and_none_may_share_an_id(tmp_path: Path) -> None:
    """A packed file of documents is a corpus by itself; the same id twice is an error."""
    file = tmp_path / "docs.jsonl.gz"
    file.write_bytes(gzip.compress(b'{"id": "a", "text": "Tea is hot."}\n{"id": "b", "text": "Ice is cold."}\n'))
    questions = tmp_path / "q.jsonl"
    questions.write_text('{"question": "Is tea hot?", "document": "a"}\n', encoding="utf-8")
    with environment():
        found = read_workload(Wanted(corpus=(file,), questions=questions), load_settings())
        assert [document.id for document in found.dataset.documents] == ["a", "b"]
        file.write_bytes(gzip.compress(b'{"id": "a", "text": "Tea."}\n{"id": "a", "text": "Ice."}\n'))
        with pytest.raises(DatasetError, match="two documents have the id 'a'"):
            read_workload(Wanted(corpus=(file,), questions=questions), load_settings())


def test_the_order_is_the_seeds_and_every_beginning_holds_every_segment(corpus: Path) -> None:
    """Another seed asks in another order; the first quarter has each segment's share."""
    lines = [
        {"question": f"q {at}", "quote": "Trains", "segment": "rare" if at % 4 == 0 else "often"} for at in range(40)
    ]
    first, again, other = read(corpus, *lines), read(corpus, *lines), read(corpus, *lines, seed=1)
    assert first.dataset.queries == again.dataset.queries != other.dataset.queries
    assert Counter(query.segment for query in first.dataset.queries[:12]) == {"rare": 3, "often": 9}
    assert read(corpus, *lines, limit=12).dataset.queries == first.dataset.queries[:12]


def test_a_data_folder_is_read_and_unanswered_questions_are_left_out(tmp_path: Path) -> None:
    """A question without spans or positive grades cannot be scored; a set with none is refused."""
    (tmp_path / "corpus.jsonl").write_text('{"id": "a", "text": "Tea is hot."}\n', encoding="utf-8")
    queries = '{"id": "1", "text": "tea?"}\n{"id": "2", "text": "ice?"}\n'
    (tmp_path / "queries.jsonl").write_text(queries, encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n1\ta\t1\n2\ta\t0\n", encoding="utf-8")
    with environment():
        found = read_workload(Wanted(data=tmp_path), load_settings())
        assert [query.id for query in found.dataset.queries] == ["1"]
        (tmp_path / "qrels.tsv").unlink()
        with pytest.raises(DatasetError, match="no question has a relevant document"):
            read_workload(Wanted(data=tmp_path), load_settings())
