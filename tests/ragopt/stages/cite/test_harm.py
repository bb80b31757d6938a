"""Sentences with harmful content are counted, or never leave."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from ragopt.domain import Question
from ragopt.pipeline import ABSTENTION
from ragopt.prompt import build_prompt
from ragopt.results import NO_HISTORY, Cited, Prepared
from ragopt.settings.collections import AnswerPolicy, Category, CollectionSettings
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.telemetry import Trace
from tests.fakes import context_of, passage
from tests.ragopt.harmful.weights import HARM, WORM, detector

CONTEXT = context_of(passage("Cards cost eight dollars. Refunds take ten days.", n=1))
PREPARED = Prepared(Question("What is asked?", "acme"), CONTEXT, build_prompt(CONTEXT, NO_HISTORY))
HARMFUL = f"First {HARM} it [1]."
ANSWER = f"Cards cost eight dollars [1]. {HARMFUL} Refunds take ten days [1]."


def answered(
    text: str, policy: AnswerPolicy, *, allowed: tuple[Category, ...] = (), schema: str = ""
) -> tuple[str, Cited, Trace]:
    """Return what is released of an answer that comes letter by letter, the whole, and its trace."""
    trace = Trace("r")
    policies = (CollectionSettings(harmful_answers=policy, harmful_allowed=allowed),)
    prepared = replace(PREPARED, question=replace(PREPARED.question, answer_schema=schema))

    async def run() -> tuple[str, Cited]:
        checker = CitationChecking(ClaimJudge.lexical(), policies, harmful=detector())(prepared, trace=trace)
        released = [await checker.feed(letter) for letter in text]
        rest, cited = await checker.finish()
        return "".join([*released, rest]), cited

    return *asyncio.run(run()), trace


def test_a_withheld_sentence_never_leaves() -> None:
    """The others do, with their citations at their places, and the answer says how many were kept back."""
    released, cited, trace = answered(ANSWER, "withhold")
    assert released == cited.text == "Cards cost eight dollars [1]. Refunds take ten days [1]."
    assert (cited.checks.harmful, cited.checks.withheld, cited.checks.dropped) == (1, 1, 1)
    assert [released[item.answer_start : item.answer_end] for item in cited.citations] == [
        "Cards cost eight dollars",
        "Refunds take ten days",
    ]
    assert (trace.facts["harmful_sentences"], trace.facts["withheld"]) == (1, 1)
    assert trace.facts["harmful_answer"] == "weapons"


def test_a_policy_may_only_count() -> None:
    """Nothing is left out, and the answer says how many sentences are harmful."""
    released, cited, _ = answered(ANSWER, "flag")
    assert released == ANSWER
    assert (cited.checks.harmful, cited.checks.withheld, cited.checks.dropped) == (1, 0, 0)


def test_a_policy_may_be_off_or_allow_a_category() -> None:
    """Nothing is counted then; another category still is."""
    assert answered(ANSWER, "off")[1].checks.harmful == 0
    assert answered(ANSWER, "withhold", allowed=("weapons",))[0] == ANSWER
    assert answered(f"{HARM} the {WORM}.", "withhold", allowed=("weapons",))[1].checks.withheld == 1


@pytest.mark.parametrize("text", [f"{HARM} it now.", f"```\n# {HARM} it\n```\n{HARM} it."])
def test_an_answer_without_any_other_sentence_is_the_abstention(text: str) -> None:
    """Code hides nothing."""
    released, cited, _ = answered(text, "withhold")
    assert HARM not in released
    assert cited.checks.withheld == text.count(HARM)
    assert ABSTENTION in released or "```" in released


def test_strings_of_json_answers_are_screened() -> None:
    """A string with a harmful sentence is empty, the rest of the value is as it was."""
    written = json.dumps({"fee": "Cards cost eight dollars [1].", "how": f"Pay. {HARM} it."})
    released, cited, _ = answered(written, "withhold", schema="{}")
    assert json.loads(released) == {"fee": "Cards cost eight dollars [1].", "how": ""}
    assert cited.checks.withheld == 1
