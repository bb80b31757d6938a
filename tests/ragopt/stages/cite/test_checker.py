"""Citation checking while an answer streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.domain import Question
from ragopt.pipeline import ABSTENTION
from ragopt.providers.layout import Prompt
from ragopt.results import Cited, Prepared
from ragopt.settings.collections import CollectionSettings, Unsupported
from ragopt.settings.facts import FactSettings
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.facts import contradicted
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.telemetry import Trace
from tests.fakes import context_of, passage

FEES = "Cards cost eight dollars.  Late fees are\nthree dollars a month. Nothing else is due."
PASSAGES = (
    passage(FEES, n=1, start=100, sentences=["Cards cost eight dollars.", "Late fees are\nthree dollars a month."]),
    passage("Refunds take ten days.", n=2, start=0),
    passage("Members borrow five books.", n=3, start=0),
)
PREPARED = Prepared(Question("What is asked?", "acme"), context_of(*PASSAGES), Prompt((), version="t"))
ANSWER = "Cards cost eight dollars [1]. Refunds are paid within ten days [2][1]! Nobody knows [7]. Both [1, 9]."
JUDGE = ClaimJudge.lexical()


def checked(
    deltas: list[str], *, policy: Unsupported = "flag", facts: Sequence[FactSettings] = (), **asked: object
) -> tuple[list[str], Cited]:
    """Return what each delta released and the end did, and the whole; `asked`: fields of the question."""
    prepared = replace(PREPARED, question=replace(PREPARED.question, **asked))  # type: ignore[arg-type]

    async def run() -> tuple[list[str], Cited]:
        checking = CitationChecking(JUDGE, (CollectionSettings(unsupported=policy),), facts)
        checker = checking(prepared, trace=Trace("r"))
        released = [await checker.feed(delta) for delta in deltas]
        rest, cited = await checker.finish()
        return [*released, rest], cited

    return asyncio.run(run())


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


def test_the_quote_of_a_paraphrase_is_its_nearest_sentence() -> None:
    """What is not word for word in the source has a score below one, and a quote all the same."""
    _, cited = checked([ANSWER])
    second = cited.citations[1]
    assert (second.n, second.quote) == (2, "Refunds take ten days.")
    assert 0 < second.score < 1


@pytest.mark.parametrize(
    "claim",
    ["Cards cost nine dollars [1].", "Cards cost eight euros [1].", "Cards cost eight dollars and 50 cents [1]."],
)
def test_a_number_that_stands_nowhere_is_not_supported(claim: str) -> None:
    """A wrong amount, another currency and an added amount are all unsupported, however many words agree."""
    assert [item.support for item in checked([claim])[1].citations] == ["unsupported"]


def test_a_swapped_passage_is_not_supported() -> None:
    """The right words with the number of another passage are unsupported there, and the claim with them."""
    _, cited = checked(["Refunds take ten days [3]."])
    assert [(item.n, item.support) for item in cited.citations] == [(3, "unsupported")]
    assert [item.support for item in cited.claims] == ["unsupported"]


def test_a_claim_is_as_supported_as_its_best_passage() -> None:
    """Of two cited passages one carries the claim: the other citation is flagged, the claim is not."""
    _, cited = checked(["Refunds take ten days [2][3]."])
    assert [(item.n, item.support) for item in cited.citations] == [(2, "supported"), (3, "unsupported")]
    assert [(item.cited, item.support) for item in cited.claims] == [((2, 3), "supported")]


def test_an_uncited_claim_is_held_to_the_whole_context() -> None:
    """It has no citation, and its verdict stands among the claims."""
    _, cited = checked(["Members borrow five books. Zebras gallop over plains."])
    assert cited.citations == ()
    assert [(item.cited, item.support) for item in cited.claims] == [((), "supported"), ((), "unsupported")]


def test_markers_of_no_passage_are_never_released() -> None:
    """[7] disappears with its space, [1, 9] keeps what is true."""
    released, cited = checked([ANSWER])
    text = "Cards cost eight dollars [1]. Refunds are paid within ten days [2][1]! Nobody knows. Both [1]."
    assert "".join(released) == text == cited.text
    assert [citation.n for citation in cited.citations] == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("text", "shown", "cited"),
    [
        ("Cards cost eight dollars [1-2].", "Cards cost eight dollars [1, 2].", [1, 2]),
        ("Cards cost eight dollars [1–3].", "Cards cost eight dollars [1, 2, 3].", [1, 2, 3]),
        ("Cards cost eight dollars【1†source】.", "Cards cost eight dollars[1].", [1]),
        ("Cards cost eight dollars ［１，２］.", "Cards cost eight dollars [1, 2].", [1, 2]),
        ("Cards cost eight dollars [^1].", "Cards cost eight dollars [1].", [1]),
        ("Cards cost eight dollars. [1] Then", "Cards cost eight dollars. [1] Then", [1]),
        ("Cards cost eight dollars.\n[1]", "Cards cost eight dollars.\n[1]", [1]),
        ("Write `cost[1]` in code.", "Write `cost[1]` in code.", []),
        ("```\ncost[9] [1]\n```\n", "```\ncost[9] [1]\n```\n", []),
    ],
)
def test_markers_of_every_form_end_alike(text: str, shown: str, cited: list[int]) -> None:
    """Ranges, full-width brackets and footnotes become plain markers; what stands in code stays what it is."""
    found = checked([text])[1]
    assert (found.text, [item.n for item in found.citations]) == (shown, cited)


def test_neighbouring_markers_cite_the_same_claim() -> None:
    """[2][1] are two citations of one span."""
    _, cited = checked([ANSWER])
    two, one = cited.citations[1:3]
    assert (two.answer_start, two.answer_end) == (one.answer_start, one.answer_end)
    assert cited.text[one.answer_start : one.answer_end] == "Refunds are paid within ten days"


def test_a_claim_without_evidence_has_no_quote() -> None:
    """A citation of a passage that shares no word with the claim says so."""
    _, cited = checked(["Zebras gallop [2]."])
    first = cited.citations[0]
    assert (first.quote, first.source_start, first.score, first.support) == (None, None, 0.0, "unsupported")


@pytest.mark.parametrize("policy", ["drop", "correct", "escalate", "abstain"])
def test_an_unsupported_sentence_is_left_out_where_the_policy_says_so(policy: Unsupported) -> None:
    """The rest stays, with offsets into what is left; nothing left is an abstention."""
    _, cited = checked(["Zebras gallop [2]. Cards cost eight dollars [1]."], policy=policy)
    assert (cited.text, cited.checks.dropped) == ("Cards cost eight dollars [1].", 1)
    assert cited.text[slice(cited.citations[0].answer_start, cited.citations[0].answer_end)] == cited.text[:24]
    released, nothing = checked(["Zebras gallop [2]."], policy=policy)
    assert ("".join(released), nothing.text, nothing.citations) == (ABSTENTION, ABSTENTION, ())


def test_sentences_beyond_the_bound_are_cut() -> None:
    """What was asked for and what was delivered is told; markers behind the last sentence still belong to it."""
    released, cited = checked(["Cards cost eight dollars. [1] Refunds take ten days [2]. Done."], max_sentences=1)
    assert "".join(released) == cited.text == "Cards cost eight dollars. [1] "
    assert (cited.checks.cut, cited.checks.sentences, cited.checks.max_sentences) == (2, 1, 1)
    assert [item.n for item in cited.citations] == [1]


def test_the_bound_in_tokens_is_told() -> None:
    """What the request asked for stands in the checks; the usage beside them says what came."""
    _, bound = checked([ANSWER], max_output_tokens=40)
    _, unbound = checked([ANSWER])
    assert (bound.checks.max_output_tokens, unbound.checks.max_output_tokens) == (40, None)


FACT = FactSettings(pattern="refunds? take", value="10 days")


@pytest.mark.parametrize(
    ("claim", "support"),
    [
        ("Refunds take ten days [2].", "supported"),
        ("Refunds take 10 days [2].", None),
        ("Refunds take a while [2].", None),
        ("It takes twelve days [2].", None),
        ("Refunds take twelve days [2].", "unsupported"),
    ],
)
def test_what_the_operator_knows_is_not_contradicted(claim: str, support: str | None) -> None:
    """A claim that the pattern is found in, with another amount than the fact's, is unsupported whatever it cites."""
    found = checked([claim], facts=[FACT])[1].citations[0]
    wrong = found.support == "unsupported" and found.score == 0
    assert wrong is (support == "unsupported")
    assert support is None or found.support == support
    assert contradicted("The office is in Munich.", [FactSettings(pattern="office is in", value="Berlin")])
    assert not contradicted("The office is in Berlin.", [FactSettings(pattern="office is in", value="Berlin")])


SCHEMA = '{"type": "object", "properties": {"fee": {"type": "string"}, "days": {"type": "array"}}}'


def test_citations_in_json_are_checked_like_any_other() -> None:
    """Markers in strings are citations with offsets into the JSON, arrays of numbers stay, a fence around it goes."""
    body = '{"fee": "Cards cost \\"eight\\" dollars [1-9].", "days": [1, 9], "note [9]": "Refunds take ten days【2】"}'
    text = f"```json\n{body}\n```"
    released, cited = checked([text[:20], text[20:]], answer_schema=SCHEMA)
    assert released[:2] == ["", ""]
    assert json.loads(cited.text) == {
        "fee": 'Cards cost "eight" dollars [1, 2, 3].',
        "days": [1, 9],
        "note [9]": "Refunds take ten days[2]",
    }
    assert [(item.n, item.support) for item in cited.citations][-1] == (2, "supported")
    last = cited.citations[-1]
    assert cited.text[last.answer_start : last.answer_end] == "Refunds take ten days"


def test_sentences_are_released_whole_and_one_at_a_time() -> None:
    """A sentence comes out with the delta that shows it has ended, and never in parts."""
    released, _ = checked(["Cards cost eight", " dollars [1]", ". Refunds", " take ten days [2].", " "])
    assert released == ["", "", "Cards cost eight dollars [1]. ", "", "", "Refunds take ten days [2]. "]


def test_invisible_characters_do_not_reach_the_reader() -> None:
    """Zero-width and bidi characters are stripped from the output, also inside a marker."""
    _, cited = checked(["Cards\u200b cost eight\u202e dollars [\u200b1]."])
    assert cited.text == "Cards cost eight dollars [1]."
    assert len(cited.citations) == 1


SHAPED = "می\u200cخواهم ❤\ufe0f و 👨\u200d👩\u200d👧 [1]. Done"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(SHAPED)), max_size=8))
def test_what_shapes_writing_reaches_the_reader(cuts: list[int]) -> None:
    """Persian joiners and emoji stay whole, however the stream is cut."""
    edges = [0, *sorted(cuts), len(SHAPED)]
    assert checked([SHAPED[a:b] for a, b in zip(edges, edges[1:], strict=False)])[1].text == SHAPED


@pytest.mark.parametrize("text", ["", "No markers at all.", "[", "[1", "an array[0] and a note [a]"])
def test_text_without_citations_comes_through_whole(text: str) -> None:
    """Brackets that are no markers of passages are kept, save a marker of a passage that is not there."""
    released, cited = checked([text])
    assert "".join(released) == cited.text == text.replace("[0]", "")
    assert cited.citations == ()


PARTS = ("Cards cost eight dollars", " [1]", "[2, 3]", " [1-2]", "【2】", " [9]", ". ", "! ", "\n", "`a[1]. `", "```\n")
PARTS += (" Refunds take ten days", "Dr. Smith", " e.g.", " 3.5", " [", "1", "]", "- ", "“Nine” ", "\u200b", "?")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PARTS), max_size=14).map("".join), st.lists(st.integers(0, 200), max_size=12))
def test_every_split_of_the_stream_gives_the_same_answer(answer: str, cuts: list[int]) -> None:
    """However the provider cuts its deltas, text, citations and offsets are the same, and nothing released moves."""
    edges = [0, *sorted(min(cut, len(answer)) for cut in cuts), len(answer)]
    released, cited = checked([answer[a:b] for a, b in zip(edges, edges[1:], strict=False)])
    assert "".join(released) == cited.text
    assert cited == checked([answer])[1]
    for item in cited.citations:
        source = next(one for one in PASSAGES if one.n == item.n)
        assert 0 <= item.answer_start < item.answer_end <= len(cited.text)
        assert item.quote is None or source.source_text(item.source_start or 0, item.source_end or 0) == item.quote
