"""Citation checking while an answer streams."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.results import Cited
from ragopt.stages.cite import CitationChecker
from tests.fakes import context_of, passage

FEES = "Cards cost eight dollars.  Late fees are\nthree dollars a month. Nothing else is due."
CONTEXT = context_of(
    passage(FEES, n=1, start=100, sentences=["Cards cost eight dollars.", "Late fees are\nthree dollars a month."]),
    passage("Refunds take ten days.", n=2, start=0),
)
ANSWER = "Cards cost eight dollars [1]. Refunds are paid within ten days [2][1]! Nobody knows [7]. Both [1, 9]."


def checked(deltas: list[str]) -> tuple[str, Cited]:
    checker = CitationChecker(CONTEXT)
    released = "".join(checker.feed(delta) for delta in deltas)
    rest, cited = checker.finish()
    return released + rest, cited


def test_a_verbatim_claim_is_supported_and_located() -> None:
    """The quote is the document's own sentence at its own offsets."""
    _, cited = checked([ANSWER])
    first = cited.citations[0]
    assert (first.support, first.score, first.quote) == ("supported", 1.0, "Cards cost eight dollars.")
    assert (first.source_start, first.source_end) == (100, 125)
    assert cited.text[first.answer_start : first.answer_end] == "Cards cost eight dollars"


def test_line_breaks_and_spaces_do_not_hide_a_quote() -> None:
    """A sentence that is wrapped in the source is found unwrapped in the answer."""
    _, cited = checked(["Late fees are three dollars a month [1]."])
    assert cited.citations[0].support == "supported"
    assert cited.citations[0].quote == "Late fees are\nthree dollars a month."


def test_a_paraphrase_is_unchecked_with_its_best_sentence() -> None:
    """What is not word for word in the source is not called supported."""
    _, cited = checked([ANSWER])
    second = cited.citations[1]
    assert (second.n, second.support, second.quote) == (2, "unchecked", "Refunds take ten days.")
    assert 0 < second.score < 1


def test_markers_of_no_passage_are_never_released() -> None:
    """[7] disappears with its space, [1, 9] keeps what is true."""
    text, cited = checked([ANSWER])
    assert text == "Cards cost eight dollars [1]. Refunds are paid within ten days [2][1]! Nobody knows. Both [1]."
    assert text == cited.text
    assert [citation.n for citation in cited.citations] == [1, 2, 1, 1]


def test_neighbouring_markers_cite_the_same_claim() -> None:
    """[2][1] are two citations of one span."""
    _, cited = checked([ANSWER])
    two, one = cited.citations[1:3]
    assert (two.answer_start, two.answer_end) == (one.answer_start, one.answer_end)
    assert cited.text[one.answer_start : one.answer_end] == "Refunds are paid within ten days"


def test_a_claim_without_evidence_has_no_quote() -> None:
    """A citation of a passage that shares no word with the claim says so."""
    _, cited = checked(["Zebras gallop [2]."])
    assert (cited.citations[0].quote, cited.citations[0].source_start, cited.citations[0].score) == (None, None, 0.0)


def test_invisible_characters_do_not_reach_the_reader() -> None:
    """Zero-width and bidi characters are stripped from the output, also inside a marker."""
    text, cited = checked(["Cards\u200b cost eight\u202e dollars [\u200b1]."])
    assert text == "Cards cost eight dollars [1]."
    assert len(cited.citations) == 1


SHAPED = "می\u200cخواهم ❤\ufe0f و 👨\u200d👩\u200d👧 [1]. Done"


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, len(SHAPED)), max_size=8))
def test_what_shapes_writing_reaches_the_reader(cuts: list[int]) -> None:
    """Persian joiners and emoji stay whole, however the stream is cut."""
    edges = [0, *sorted(cuts), len(SHAPED)]
    assert checked([SHAPED[a:b] for a, b in zip(edges, edges[1:], strict=False)])[0] == SHAPED


@pytest.mark.parametrize("text", ["", "No markers at all.", "[", "[1", "an array[0] and a note [a]"])
def test_text_without_citations_comes_through_whole(text: str) -> None:
    """Brackets that are no markers of passages are kept, save a marker of a passage that is not there."""
    released, cited = checked([text])
    assert released == cited.text == text.replace("[0]", "")
    assert cited.citations == ()


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, len(ANSWER)), max_size=12))
def test_every_split_of_the_stream_gives_the_same_answer(cuts: list[int]) -> None:
    """However the provider cuts its deltas, text, citations and offsets are the same."""
    edges = [0, *sorted(cuts), len(ANSWER)]
    pieces = [ANSWER[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert checked(pieces) == checked([ANSWER])
