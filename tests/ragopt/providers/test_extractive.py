"""The built-in provider."""

from __future__ import annotations

import asyncio

from ragopt.domain import Context, Question
from ragopt.pipeline import ABSTENTION
from ragopt.prompt import build_prompt
from ragopt.providers.extractive import ExtractiveProvider
from ragopt.providers.protocol import Completed, CompletionRequest, TextDelta
from ragopt.results import Cited, History, Prepared
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.telemetry import Trace
from tests.fakes import context_of, passage

LEAVE = "# Leave\nEmployees have 28 days of paid leave. Ask your manager first."
FEES = "- The late fee is\neight dollars.\n- See [3] for details of the fee."


def answered(context: Context) -> tuple[str, Completed]:
    async def run() -> tuple[str, Completed]:
        request = CompletionRequest("extractive", build_prompt(context, History()), context, 100, 5)
        events = [event async for event in ExtractiveProvider().stream(request)]
        assert isinstance(events[-1], Completed)
        return "".join(event.text for event in events if isinstance(event, TextDelta)), events[-1]

    return asyncio.run(run())


def context_for(question: str) -> Context:
    return context_of(
        passage(LEAVE, n=1, sentences=["# Leave", "Employees have 28 days of paid leave.", "Ask your manager first."]),
        passage(FEES, n=2, sentences=["- The late fee is\neight dollars.", "- See [3] for details of the fee."]),
        question=question,
    )


def test_it_quotes_the_sentence_that_answers() -> None:
    """One sentence, its marker before the full stop, without list marks or line breaks."""
    text, completed = answered(context_for("How much is the late fee?"))
    assert text.startswith("The late fee is eight dollars [2].")
    assert completed.usage.cost_usd == 0
    assert completed.usage.output_tokens > 0


def test_every_quote_is_found_again_in_its_source() -> None:
    """What it writes, the citation checker calls supported."""
    context = context_for("How many days of leave do employees have, and what is the late fee?")
    prepared = Prepared(Question(context.question, "acme"), context, build_prompt(context, History()))
    checker = CitationChecking(ClaimJudge.lexical())(prepared, trace=Trace("r"))

    text, _ = answered(context)

    async def checked() -> Cited:
        await checker.feed(text)
        return (await checker.finish())[1]

    cited = asyncio.run(checked())
    assert {citation.n for citation in cited.citations} == {1, 2}
    assert {citation.support for citation in cited.citations} == {"supported"}


def test_it_abstains_when_no_sentence_speaks_of_the_question() -> None:
    """Nothing is invented."""
    assert answered(context_for("Who won the zebra race?"))[0] == ABSTENTION


def test_a_question_is_not_answered_with_a_question() -> None:
    """Neither a heading that asks the same nor an example that repeats it is an answer."""
    texts = ["Who may approve leave?", 'Type ask "Who approves leave" here.', "Managers approve leave."]
    context = context_of(passage(" ".join(texts), sentences=texts), question="Who approves leave")
    assert answered(context)[0] == "Managers approve leave [1]."


def test_brackets_in_the_source_are_not_mistaken_for_citations() -> None:
    """A [3] that a document contains does not become a marker."""
    assert "[3]" not in answered(context_for("Where are details of the fee?"))[0]
