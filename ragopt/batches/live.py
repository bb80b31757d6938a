"""What no provider's batch answers: asked live, through the same function as every other question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from indexes.errors import IndexingError
from ragopt.batches.answering import after, billed_of, generated_by, prepared_of, results_of, said
from ragopt.batches.desk import Desk, failed
from ragopt.batches.gathering import all_or_none
from ragopt.domain import Answer
from ragopt.errors import RagoptError, StateUnavailable
from ragopt.money.ledger import rounded_nano
from ragopt.providers.usage import total_usage
from ragopt.state.batch_records import BatchResult, SharedCall
from ragopt.telemetry import Trace


async def answer_live(desk: Desk, batch_id: str, calls: Sequence[SharedCall]) -> None:
    """Ask the calls now, several at once, and keep what they came to as it comes. Raises: `StateUnavailable`.

    A deadline does not end them: late is better than never.
    """
    await all_or_none((asked(desk, batch_id, call) for call in calls), at_once=desk.rules.live_at_once)


async def asked(desk: Desk, batch_id: str, call: SharedCall) -> None:
    """Ask one call and keep the results of its requests."""
    results = await live_results(desk, batch_id, call)
    await desk.flush()
    first = results[call.items[0]].answer
    costs = {} if first is None else live_cost(first, call)
    # The hold stays: it is of a provider's batch that nobody waits for any more, and is settled when that is read.
    await desk.store.record(batch_id, results, calls=[replace(call, state="done")], costs=costs)


async def live_results(desk: Desk, batch_id: str, call: SharedCall) -> dict[int, BatchResult]:
    """Return the results of a call's requests by number; an answer that was rejected before is better than an error."""
    items = await desk.store.items(batch_id, call.items)
    (half,) = await desk.store.halves(batch_id, call.items[:1])
    trace = Trace(f"{batch_id}/{call.name}")
    trace.ends = asyncio.get_running_loop().time() + desk.request_s
    prepared = prepared_of(call, items[0], half)
    if call.step > 0:
        prepared = replace(prepared, question=replace(prepared.question, model=call.deployment))
    written = after(call.tries, desk.pipeline.written(prepared, trace=trace))
    try:
        return await results_of(desk, batch_id, call, written, trace=trace, served="live")
    except StateUnavailable:
        raise
    except (RagoptError, IndexingError) as error:
        rejected = next((item for item in reversed(call.tries) if item.text), None)
        if rejected is None:
            return {n: failed(item, error) for n, item in zip(call.items, items, strict=True)}
        generated = generated_by(desk, call, name=rejected.attempt.model, text=rejected.text, stop="end")
        return await results_of(desk, batch_id, call, said(rejected.text, generated), trace=trace, served="batch")


def live_cost(answer: Answer, call: SharedCall) -> dict[str, int]:
    """Return what the live part of an answer cost, in nano-USD under its own name; {} where that is not known."""
    before = total_usage([item.usage for item in billed_of(call.tries)]).cost_usd
    if answer.usage.cost_usd is None or before is None:
        return {}
    return {answer.id: rounded_nano(answer.usage.cost_usd - before)}
