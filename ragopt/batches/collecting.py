"""What a provider's batch came to: counted to the last digit, checked like a live answer, and kept by request."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from ragopt.batches.answering import generated_by, results_left, results_of, said
from ragopt.batches.desk import Desk, sent_name
from ragopt.domain import Attempt, Outcome, Usage
from ragopt.errors import IncompleteStream, ProviderError, ProviderProtocolError, ProviderUnavailable
from ragopt.money.ledger import rounded_nano
from ragopt.money.meter import BudgetReservation
from ragopt.money.prices import priced
from ragopt.providers.batches.protocol import BatchLine
from ragopt.providers.deployment import Deployment, Flaw, Inspection
from ragopt.providers.drafts import flaw_of
from ragopt.providers.protocol import Completed, CompletionRequest
from ragopt.providers.usage import NOTHING_USED, estimated_usage
from ragopt.results import Prepared
from ragopt.state.batch_records import BatchResult, Part, PartState, SharedCall, Try
from ragopt.state.batches import CHUNK, runs
from ragopt.telemetry import Trace

MISSING = ProviderUnavailable("the provider's results do not mention this call")


@dataclass(frozen=True, slots=True)
class Said:
    """What came of one call: its text, or why there is none. usage: with its cost, None where nothing was charged."""

    text: str
    completed: Completed | None = None
    usage: Usage | None = None
    error: ProviderError | None = None


@dataclass(slots=True)
class Record:
    """What is kept in one step."""

    results: dict[int, BatchResult] = field(default_factory=dict)
    calls: list[SharedCall] = field(default_factory=list)
    costs: dict[str, int] = field(default_factory=dict)


async def collect(desk: Desk, batch_id: str, part: Part) -> None:
    """Read what a provider's batch came to, count it, keep the answers, and end the part.

    What a process that ended had read already is read again and changes nothing. A call that failed or whose answer
    is not good enough goes on by itself: mended or up its chain in a further batch, or live.
    Raises: `ProviderError`, `StateUnavailable`: then it is to be collected again.
    """
    sent = await calls_sent(desk, batch_id, part)
    async with aclosing(desk.providers[part.deployment].lines(part.id)) as lines:
        async for some in chunked(lines):
            known = [(sent.pop(line.custom_id), line) for line in some if line.custom_id in sent]
            await settle(desk, batch_id, part, known)
    await fail(desk, batch_id, part, MISSING)


async def fail(desk: Desk, batch_id: str, part: Part, error: ProviderError) -> None:
    """End the part; those of its calls that nothing came of have failed without having cost anything.

    It is closed then, or read, where the provider still has it and is to delete it.
    """

    def refused(_: CompletionRequest) -> tuple[str, Completed]:
        raise error

    left = await calls_sent(desk, batch_id, part)
    for some in runs(left.items()):
        await settle(desk, batch_id, part, [(call, BatchLine(name, refused)) for name, call in some])
    # What the provider has is deleted after all of it is counted, and in a step of its own: a process that dies in
    # between finds out which.
    there = part.id and part.state != "read" and part.deployment in desk.providers
    ended: PartState = "read" if there and desk.rules.delete_when_read else "closed"
    await desk.store.keep_parts(batch_id, [replace(part, state=ended)])


async def calls_sent(desk: Desk, batch_id: str, part: Part) -> dict[str, SharedCall]:
    """Return by the name they were sent under the calls of a part that were not settled yet."""
    known = await desk.store.calls(batch_id)
    found = {name: known[key] for name, key in zip(part.names, part.keys, strict=True)}
    # One that has gone on up its chain has another name; its money is counted.
    own = {name: call for name, call in found.items() if sent_name(batch_id, call) == name}
    return {name: call for name, call in own.items() if call.state == "sent" or part.left}


async def chunked(lines: AsyncIterator[BatchLine]) -> AsyncIterator[list[BatchLine]]:
    """Yield lists of some lines, in order, as they come."""
    some: list[BatchLine] = []
    async for line in lines:
        some.append(line)
        if len(some) == CHUNK:
            yield some
            some = []
    if some:
        yield some


async def settle(desk: Desk, batch_id: str, part: Part, lines: Sequence[tuple[SharedCall, BatchLine]]) -> None:
    """Count some calls and keep what they came to: the money first, so that a crash in between repeats, never loses."""
    leaders = [call.items[0] for call, _ in lines]
    items = await desk.store.items(batch_id, leaders)
    halves = await desk.store.halves(batch_id, leaders)
    record = Record()
    for (call, line), item, half in zip(lines, items, halves, strict=True):
        told = read(desk, desk.call(batch_id, call, item=item, half=half).request, line, name=call.deployment)
        await count(desk.reservation(batch_id, call, item.question), told, submitted=bool(part.id))
        if told.usage is not None and told.usage.cost_usd is not None:
            record.costs[line.custom_id] = rounded_nano(told.usage.cost_usd)
        await _Outcome(desk, batch_id, part, call, told).into(record, half.prepared(item.question))
    await desk.flush()
    await desk.store.record(batch_id, record.results, calls=record.calls, costs=record.costs)


async def count(reservation: BudgetReservation, told: Said, *, submitted: bool) -> None:
    """Settle the money of a call; one whose batch no provider is known to have taken was not made: it leaves no row."""
    if told.usage is None and not submitted:
        await reservation.release()
        return
    used, error = told.usage or NOTHING_USED, told.error
    outcome: Outcome = "error" if error else "ok"
    await reservation.settle(used, used.cost_usd, outcome, error=error.code if error else "")


def read(desk: Desk, request: CompletionRequest, line: BatchLine, *, name: str) -> Said:
    """Return what came of a call, judged as a live one is: empty answers and half ones are none."""
    deployment = desk.deployments[name]
    try:
        text, completed = line.read(request)
    except IncompleteStream as error:
        return Said("", usage=charged(desk, deployment, estimated_usage(request.prompt, "")), error=error)
    except ProviderError as error:
        return Said("", error=error)
    usage = charged(desk, deployment, completed.usage)
    if text := text.lstrip():
        return Said(text, completed, usage)
    empty = ProviderProtocolError(f"{deployment.provider.name}: an empty answer ({completed.stop})")
    return Said("", completed, usage, empty)


def charged(desk: Desk, deployment: Deployment, usage: Usage) -> Usage:
    """Return the usage with what it costs in a batch."""
    return replace(usage, cost_usd=desk.prices.cost(priced(deployment), usage, batch=True))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What came of one call of a part."""

    desk: Desk
    batch_id: str
    part: Part
    call: SharedCall
    told: Said

    async def into(self, record: Record, prepared: Prepared) -> None:
        """Add to the record the call as it goes on, and the results of its requests where it is done."""
        call, told = replace(self.call, hold=None), self.told
        if self.call.state != "sent":
            record.calls.append(call)  # answered live meanwhile: only its money counts
            return
        inspection = self.desk.inspect(prepared)
        flaw = await self.flaw(prepared, inspection)
        call = replace(call, tries=(*call.tries, self.tried(flaw)))
        if told.error is not None:
            record.calls.append(replace(call, state="live"))
        elif flaw is not None and (further := following(self.desk, call, flaw, inspection=inspection)):
            record.calls.append(further)
        else:
            record.results |= await self.results(call, flaw)
            record.calls.append(replace(call, state="done"))

    async def flaw(self, prepared: Prepared, inspection: Inspection | None) -> Flaw | None:
        """Return why the answer does not stand, judged as a live one is; None where it does or there is none."""
        call = self.call
        if self.told.error is not None:
            return None
        gate = self.desk.gate if call.gated and call.step + 1 < len(call.chain) else None
        trace = Trace(f"{self.batch_id}/{call.name}")
        return await flaw_of(self.told.text, prepared, gate=gate, inspection=inspection, trace=trace)

    async def results(self, call: SharedCall, flaw: Flaw | None) -> dict[int, BatchResult]:
        """Return the results of a call that is done: of its answer, or of what is left where that has a flaw."""
        told, trace = self.told, Trace(f"{self.batch_id}/{call.name}")
        if flaw is not None or told.completed is None:
            return await results_left(self.desk, self.batch_id, call, trace=trace)
        generated = generated_by(self.desk, call, name=call.deployment, text=told.text, stop=told.completed.stop)
        return await results_of(self.desk, self.batch_id, call, said(told.text, generated), trace=trace, served="batch")

    def tried(self, flaw: Flaw | None) -> Try:
        """Return what is remembered of the call."""
        told, ms = self.told, 1000 * (self.desk.store.now() - self.part.asked_at)
        name = self.call.deployment
        if told.error is not None:
            error = (told.error.code, told.error.detail)
            return Try(Attempt(name, "error", ": ".join(error), ms), told.usage, error=error)
        stop = told.completed.stop if told.completed else "end"
        if flaw is not None:
            return Try(Attempt(name, "rejected", flaw.detail, ms), told.usage, told.text, flaw=flaw, stop=stop)
        return Try(Attempt(name, "ok", f"stopped: {stop}", ms), told.usage)


def following(desk: Desk, call: SharedCall, flaw: Flaw, *, inspection: Inspection | None) -> SharedCall | None:
    """Return a call as it goes on after an answer with a flaw; None where nobody is left to ask.

    The model is asked to mend it, once in an answer, where that is asked for; else the next one of the chain is asked.
    """
    step = call.step + 1
    if inspection is not None and inspection.corrects and flaw.correction and not call.mends:
        chain = (*call.chain[:step], call.deployment, *call.chain[step:])
        return replace(call, chain=chain, step=step, mends=step, state="waiting")
    if flaw.final or step >= len(call.chain):
        return None
    return replace(call, step=step, state="waiting" if call.chain[step] in desk.providers else "live")
