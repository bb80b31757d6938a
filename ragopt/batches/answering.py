"""From what a model said to the results of all requests that share the call."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal

from ragopt.batches.desk import Desk, failed
from ragopt.domain import Answer, BilledCall, CacheOutcome, Question, Route, Usage
from ragopt.errors import RagoptError, UnusableAnswer
from ragopt.events import Finished
from ragopt.pipeline import ABSTENTION
from ragopt.providers.deployment import Flaw
from ragopt.providers.drafts import best_of
from ragopt.providers.protocol import Stop, TextDelta
from ragopt.providers.usage import total_usage
from ragopt.results import Generated, Prepared, Written
from ragopt.state.batch_records import BatchItem, BatchResult, Half, Served, SharedCall, Try
from ragopt.telemetry import Trace


async def results_of(
    desk: Desk, batch_id: str, call: SharedCall, written: Written, *, trace: Trace, served: Served
) -> dict[int, BatchResult]:
    """Return the result of every request of a call by its number: the first one pays, the others are its duplicates.

    Raises: what `written` raises.
    """
    items = await desk.store.items(batch_id, call.items)
    halves = await desk.store.halves(batch_id, call.items)
    first = await answer_of(desk, prepared_of(call, items[0], halves[0]), written, trace=trace)
    results = {call.items[0]: BatchResult(items[0].custom_id, first, served)}
    for n, item, half in zip(call.items[1:], items[1:], halves[1:], strict=True):
        same = await answer_again(desk, first, item, half, shares=half.context == halves[0].context)
        results[n] = BatchResult(item.custom_id, same, "duplicate", duplicate_of=items[0].custom_id)
    return results


async def results_left(desk: Desk, batch_id: str, call: SharedCall, *, trace: Trace) -> dict[int, BatchResult]:
    """Return the results of a call of which every answer was rejected: of the draft that is left, or the error.

    Where answers have to pass, it is what is left live: the draft with fewest unsupported claims, or the abstention.
    """
    items = await desk.store.items(batch_id, call.items)
    (half,) = await desk.store.halves(batch_id, call.items[:1])
    drafts = [item for item in call.tries if item.text]
    inspection, draft = desk.inspect(half.prepared(items[0].question)), drafts[-1]
    if inspection is not None:
        try:
            draft = drafts[best_of([item.flaw or Flaw(item.attempt.detail) for item in drafts])]
        except UnusableAnswer as error:
            return {n: failed(item, error) for n, item in zip(call.items, items, strict=True)}
    text = ABSTENTION if inspection is not None and inspection.abstains else draft.text
    generated = generated_by(desk, call, name=draft.attempt.model, text=text, stop=draft.stop)
    return await results_of(desk, batch_id, call, said(text, generated), trace=trace, served="batch")


def prepared_of(call: SharedCall, item: BatchItem, half: Half) -> Prepared:
    """Return the first half of a request; what a spent budget left is a lesser answer, and not the cache's."""
    prepared = half.prepared(item.question)
    return replace(prepared, keeps=prepared.keeps and not call.lesser)


async def answer_of(desk: Desk, prepared: Prepared, written: Written, *, trace: Trace) -> Answer:
    """Return the whole answer of what was written, checked, and written down. Raises: what `written` raises."""
    async with aclosing(desk.pipeline.second_half(prepared, written, trace=trace)) as events:
        async for event in events:
            if isinstance(event, Finished):
                desk.wrote(event.answer, prepared.question)
                return event.answer
    raise RagoptError("The pipeline ended without an answer.")


async def answer_again(desk: Desk, first: Answer, item: BatchItem, half: Half, *, shares: bool) -> Answer:
    """Return the answer of a duplicate, which costs nothing; checked against its own passages unless it shares them."""
    question = item.question
    same = first
    if not shares:
        generated = Generated(first.route, Usage(), partial=first.partial, abstained=first.abstained)
        prepared = replace(half.prepared(question), keeps=False)
        async with aclosing(
            desk.pipeline.second_half(prepared, said(first.text, generated), trace=Trace(question.answer_id))
        ) as events:
            found = [event.answer async for event in events if isinstance(event, Finished)]
        same = found[-1]
    answer = replace(
        same,
        id=question.answer_id,
        context=first.context if shares else half.context,
        cache=CacheOutcome("hit", "exact", 1.0, 0.0) if reads(question) else CacheOutcome("bypass"),
        usage=Usage(cost_usd=Decimal(0)),
        savings=first.savings.of_hit() if first.savings else None,
    )
    desk.wrote(answer, question)
    return answer


def reads(question: Question) -> bool:
    """Return whether the question takes answers of the response cache."""
    return question.cache in ("on", "read_only")


async def said(text: str, generated: Generated) -> Written:
    """Yield what a model said before."""
    yield TextDelta(text)
    yield generated


async def after(call: SharedCall, written: Written) -> Written:
    """Yield what is written now, as the answer of one that was tried before: its attempts and costs count too."""
    async with aclosing(written) as events:
        async for event in events:
            yield with_tries(event, call) if isinstance(event, Generated) else event


def with_tries(generated: Generated, call: SharedCall) -> Generated:
    """Return the terminal event with what was tried before it."""
    billed = (*billed_of(call.tries), *generated.billed)
    attempts = (*(item.attempt for item in call.tries), *generated.route.attempts)
    return replace(
        generated,
        route=replace(generated.route, attempts=attempts),
        usage=total_usage([*(item.usage for item in billed_of(call.tries)), generated.usage]),
        billed=billed,
        corrections=call.corrections + generated.corrections,
    )


def billed_of(tries: Sequence[Try]) -> tuple[BilledCall, ...]:
    """Return what the calls of a batch were charged."""
    return tuple(BilledCall(item.attempt.model, item.usage, batch=True) for item in tries if item.usage)


def generated_by(desk: Desk, call: SharedCall, *, name: str, text: str, stop: Stop) -> Generated:
    """Return the terminal event of an answer that a provider's batch gave; `call` holds the try that gave it."""
    deployment = desk.deployments[name]
    billed = billed_of(call.tries)
    return Generated(
        route=Route(
            provider=deployment.provider.name,
            model=deployment.name,
            tier=deployment.tier,
            score=call.score,
            reason=f"{call.reason}; in a batch",
            attempts=tuple(item.attempt for item in call.tries),
        ),
        usage=total_usage([item.usage for item in billed]),
        partial=stop != "end",
        abstained=text.startswith(ABSTENTION),
        billed=billed,
        corrections=call.corrections,
    )
