"""What no provider's batch answers: asked live, through the same function as every other question."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from indexes.errors import IndexingError
from ragopt.batches.answering import after, prepared_of, results_left, results_of
from ragopt.batches.desk import Desk, failed
from ragopt.batches.gathering import all_or_none
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
    trace = Trace(f"{batch_id}/{call.name}")
    results = await live_results(desk, batch_id, call, trace=trace)
    await desk.flush()
    (item,) = await desk.store.items(batch_id, call.items[:1])
    costs = live_cost(trace, item.question.answer_id)
    # The hold stays: it is of a provider's batch that nobody waits for any more, and is settled when that is read.
    await desk.store.record(batch_id, results, calls=[replace(call, state="done")], costs=costs)


async def live_results(desk: Desk, batch_id: str, call: SharedCall, *, trace: Trace) -> dict[int, BatchResult]:
    """Return the results of a call's requests by number; an answer that was rejected before is better than an error.

    One that is not as it was asked for is not.
    """
    items = await desk.store.items(batch_id, call.items)
    (half,) = await desk.store.halves(batch_id, call.items[:1])
    trace.ends = asyncio.get_running_loop().time() + desk.request_s
    prepared = prepared_of(call, items[0], half)
    if call.step > 0:
        prepared = replace(prepared, question=replace(prepared.question, model=call.deployment))
    written = after(call, desk.pipeline.written(prepared, trace=trace))
    try:
        return await results_of(desk, batch_id, call, written, trace=trace, served="live")
    except StateUnavailable:
        raise
    except (RagoptError, IndexingError) as error:
        if not any(item.text for item in call.tries):
            return {n: failed(item, error) for n, item in zip(call.items, items, strict=True)}
        return await results_left(desk, batch_id, call, trace=trace)


def live_cost(trace: Trace, name: str) -> dict[str, int]:
    """Return what the live calls of an answer cost, in nano-USD under its name; {} where that is not known.

    Those of an answer that was not good enough cost too.
    """
    cost_usd = total_usage([call.usage for call in trace.calls if call.usage]).cost_usd
    return {} if cost_usd is None else {name: rounded_nano(cost_usd)}
