"""Personal data is counted in answers, or replaced in a sentence before it is released."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.domain import Passage, Question
from ragopt.providers.layout import Prompt
from ragopt.results import Cited, Prepared
from ragopt.settings.collections import CollectionSettings, PersonalData, Unsupported
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.telemetry import Trace
from tests.fakes import context_of, passage

CONTACT = "Write to ada@example.org or call +44 20 7946 0958."
DESK_UNITS = ("Cards cost eight dollars.", CONTACT, "Refunds take ten days.")
DESK = " ".join(DESK_UNITS)
PASSAGES = (passage(DESK, n=1, start=100, sentences=DESK_UNITS), passage("Members borrow five books.", n=2))
ANSWER = (
    "Cards cost eight dollars [1]. Write to **ada@example.org** or call +44 20 7946 0958 [1]! "
    "Her date of birth:\n1.2.1980 is known [2]. [1] Her password is hunter22x[2]. Refunds take ten days [1]."
)
SHOWN = (
    "Cards cost eight dollars [1]. Write to **[EMAIL]** or call [PHONE] [1]! "
    "Her date of birth:\n[BIRTH_DATE] is known [2]. [1] Her password is [SECRET][2]. Refunds take ten days [1]."
)
COUNTS = {"birth_date": 1, "email": 1, "phone": 1, "secret": 1}


def answered(
    deltas: Sequence[str],
    policy: PersonalData,
    *,
    unsupported: Unsupported = "flag",
    schema: str = "",
    passages: tuple[Passage, ...] = PASSAGES,
    max_sentences: int | None = None,
) -> tuple[list[str], Cited, Trace]:
    """Return what each delta released and the end did, the whole, and its trace."""
    trace = Trace("r")
    question = Question("What is asked?", "acme", answer_schema=schema, max_sentences=max_sentences)
    prepared = Prepared(question, context_of(*passages), Prompt((), version="t"))
    policies = (CollectionSettings(personal_data=policy, unsupported=unsupported),)

    async def run() -> tuple[list[str], Cited]:
        checker = CitationChecking(ClaimJudge.lexical(), policies)(prepared, trace=trace)
        released = [await checker.feed(delta) for delta in deltas]
        rest, cited = await checker.finish()
        return [*released, rest], cited

    return *asyncio.run(run()), trace


def judgements(cited: Cited) -> list[tuple[object, ...]]:
    """Return what was said of the claims, and where the sources of the citations stand."""
    claims = [(claim.cited, claim.support, claim.score) for claim in cited.claims]
    sources = [(item.n, item.support, item.score, item.source_start, item.source_end) for item in cited.citations]
    return [*claims, *sources]


def test_a_redacted_answer_is_judged_as_it_was_written() -> None:
    """Text, claims and citations go without personal data; verdicts and places in the sources are those of `off`."""
    released, cited, trace = answered([ANSWER], "redact")
    _, plain, _ = answered([ANSWER], "off")
    assert "".join(released) == cited.text == SHOWN
    assert (cited.checks.personal_data, trace.facts["personal_data"]) == (COUNTS, 4)
    assert judgements(cited) == judgements(plain)
    claims = [cited.text[item.answer_start : item.answer_end] for item in cited.claims]
    assert claims[:2] == ["Cards cost eight dollars", "Write to **[EMAIL]** or call [PHONE]"]
    assert claims[-1] == "Refunds take ten days"


def test_a_quote_is_redacted_and_its_offsets_stay() -> None:
    """They are those of the stored text, which is not altered."""
    quoted = answered([ANSWER], "redact")[1].citations[1]
    assert quoted.quote == "Write to [EMAIL] or call [PHONE]."
    assert PASSAGES[0].source_text(quoted.source_start or 0, quoted.source_end or 0) == DESK_UNITS[1]


def test_a_quote_is_read_with_what_stands_around_it() -> None:
    """A line of a key, or a date below `Date of birth`, tells nothing by itself."""
    key = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg kqhkiG9w0\n-----END PRIVATE KEY-----"
    lines = passage(f"Date of birth:\n1.2.1980 Ada\n{key}", sentences=["1.2.1980 Ada", "MIIEvQIBADANBg kqhkiG9w0"])
    text = "Ada came 1.2.1980 [1]. It reads MIIEvQIBADANBg kqhkiG9w0 [1]."
    cited = answered([text], "redact", passages=(replace(lines, title="For ada@example.org"),))[1]
    assert [(item.quote, item.title) for item in cited.citations] == [
        ("[BIRTH_DATE] Ada", "For [EMAIL]"),
        ("[SECRET]", "For [EMAIL]"),
    ]


def test_a_policy_may_only_count_or_not_look() -> None:
    """The answer stays as it was written; by `off` nothing is counted and no fact is kept."""
    for policy, counts in (("flag", COUNTS), ("off", {})):
        released, cited, trace = answered([ANSWER], policy)  # type: ignore[arg-type]
        assert "".join(released) == cited.text == ANSWER
        assert (cited.checks.personal_data, "personal_data" in trace.facts) == (counts, policy == "flag")
        assert cited.citations[1].quote == DESK_UNITS[1]


@pytest.mark.parametrize("place", range(1, len(ANSWER)))
def test_no_place_of_a_cut_lets_personal_data_through(place: int) -> None:
    """Wherever the stream is cut in two, the same sentences come out, and nothing released is taken back."""
    released, cited, _ = answered([ANSWER[:place], ANSWER[place:]], "redact")
    assert "".join(released) == SHOWN
    assert cited == answered([ANSWER], "redact")[1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, len(ANSWER)), max_size=12).map(sorted))
def test_no_cut_into_many_lets_personal_data_through(cuts: list[int]) -> None:
    """However many deltas there are."""
    edges = [0, *cuts, len(ANSWER)]
    released, _, _ = answered([ANSWER[a:b] for a, b in zip(edges, edges[1:], strict=False)], "redact")
    assert "".join(released) == SHOWN


KEY = "```\n-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIEvQIBADANBg\nkqhkiG9w0==\n"


@pytest.mark.parametrize(
    ("end", "left"),
    [
        ("-----END RSA PRIVATE KEY-----\n```\nDone.", "\n```\nDone."),
        ("```\nDone.", "```\nDone."),
        ("", ""),
    ],
)
def test_a_key_that_comes_line_by_line_is_left_out(end: str, left: str) -> None:
    """What stands before and behind it stays, also where the key never ends."""
    released, cited, _ = answered(list(KEY + end), "redact")
    assert "".join(released) == cited.text == "```\n[SECRET]\n" + left
    assert cited.checks.personal_data == {"secret": 1}
    assert answered([KEY + end], "flag")[1].text == KEY + end


def test_an_unsupported_sentence_is_left_out_and_not_counted() -> None:
    """What it said still tells what the next sentence holds."""
    text = "Cards cost nine dollars, says ada@example.org [1]. Cards cost eight dollars [1]. "
    _, cited, _ = answered([text], "redact", unsupported="drop")
    assert (cited.text, cited.checks.personal_data) == ("Cards cost eight dollars [1]. ", {})
    _, told, _ = answered(["Cards cost nine dollars [1], date of birth:\n", "1.2.1980"], "redact", unsupported="drop")
    assert (told.text, told.checks.dropped) == ("[BIRTH_DATE]", 1)


def test_what_is_cut_is_not_counted() -> None:
    """Only what is released is."""
    _, cited, _ = answered(["Cards cost eight dollars [1]. Write to ada@example.org [1]."], "redact", max_sentences=1)
    assert (cited.text, cited.checks.personal_data) == ("Cards cost eight dollars [1]. ", {})


def test_json_is_redacted_by_its_values_and_by_the_names_of_their_keys() -> None:
    """Escapes hide nothing, numbers become 0, and the claims behind are where they were."""
    written = (
        '{"mail": "Write to \\u0061da@example.org,\\n \\"now\\" [1].", "phoneNumber": ["5551234", 5551234], '
        '"date_of_birth": "1.2.1980", "bob@example.org": "Refunds take ten days [1].", "card": 4111111111111111, '
        '"fee": 8}'
    )
    released, cited, _ = answered(list(written), "redact", schema="{}")
    assert "".join(released) == cited.text
    assert json.loads(cited.text) == {
        "mail": 'Write to [EMAIL],\n "now" [1].',
        "phoneNumber": ["[PHONE]", 0],
        "date_of_birth": "[BIRTH_DATE]",
        "[EMAIL]": "Refunds take ten days [1].",
        "card": 0,
        "fee": 8,
    }
    assert cited.checks.personal_data == {"birth_date": 1, "card": 1, "email": 2, "phone": 2}
    plain = answered([written], "off", schema="{}")[1]
    assert judgements(cited) == judgements(plain)
    claims = [cited.text[item.answer_start : item.answer_end] for item in cited.claims]
    assert claims == ['Write to [EMAIL],\\n \\"now\\"', "Refunds take ten days"]


def test_json_is_counted_and_left() -> None:
    """To the last escape."""
    written = '{"mail": "\\u0061da@example.org", "phone": 5551234}'
    _, cited, _ = answered([written], "flag", schema="{}")
    assert (cited.text, cited.checks.personal_data) == (written, {"email": 1, "phone": 1})
