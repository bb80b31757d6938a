"""One batch from its first request to its last cent, in turns that any process can take."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from ragopt.batches.collecting import collect, fail
from ragopt.batches.desk import Desk, failed
from ragopt.batches.live import answer_live
from ragopt.batches.preparing import planned_calls, prepare
from ragopt.batches.submitting import put_into_parts, submitted
from ragopt.errors import (
    BatchCancelled,
    DeadlineExceeded,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    RagoptError,
)
from ragopt.money.ledger import usd
from ragopt.providers.usage import NOTHING_USED
from ragopt.state.batch_records import BatchInfo, BatchResult, Part, SharedCall
from ragopt.state.batches import CHUNK, Claim

LOGGER = logging.getLogger("ragopt.batches")
# Providers end a batch after a day. One that is not over by then is asked live.
OVERDUE_S = 36 * 3_600
# After its money is no longer held there is nothing left to settle.
HOPELESS_S = 3 * 86_400
GROWTH = 1.5
# The providers are asked again after so many live calls of each place.
LIVE_A_TURN = 32
# In the ledger, of a call whose batch ended before its provider's.
ABANDONED = "abandoned"
STOPPED = ProviderUnavailable("the batch was ended before this call was sent")


@dataclass(slots=True)
class Work:
    """A batch under way in this process.

    stopped: parts whose provider was asked to stop. calls: as they were read last. changed: whether anything was
    written since.
    """

    desk: Desk
    claim: Claim
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    stopped: set[int] = field(default_factory=set)
    calls: dict[str, SharedCall] = field(default_factory=dict)
    changed: bool = True
    wait_s: float = 0

    @property
    def id(self) -> str:
        """Return the batch's id."""
        return self.claim.id

    async def run(self) -> None:
        """Work until the batch is closed. Raises: `StateUnavailable`, `StoreUnavailable`: then others can go on."""
        self.wait_s = self.desk.rules.poll_s
        while not await self.turn():
            await self.rest()

    async def turn(self) -> bool:
        """Take every step that can be taken now; return whether the batch is closed."""
        stale, self.changed = self.changed, False
        desk, info = self.desk, await self.desk.store.info(self.id)
        unprepared = await desk.store.unprepared(self.id, total=info.terms.total)
        if unprepared and not info.cancelled:
            await prepare(desk, self.id, unprepared[:CHUNK])
            self.changed = True
            return False
        if stale:
            self.calls = await planned_calls(desk, self.id)
        if info.cancelled:
            await self.give_up(info, BatchCancelled("The batch was cancelled."))
        elif desk.store.now() >= spill_at(desk, info, self.calls):
            await self.spill(info)
        elif waiting := in_state(self.calls, "waiting"):
            await put_into_parts(desk, self.id, waiting)
            self.changed = True
        await self.ask_live(info)
        for part in await desk.store.parts(self.id):
            if part.state != "closed":
                await self.step(info, part)
        return await self.ended()

    async def rest(self) -> None:
        """Wait until the providers are worth asking again, a deadline comes near, or something happens here."""
        rules = self.desk.rules
        self.wait_s = rules.poll_s if self.changed else min(rules.poll_max_s, self.wait_s * GROWTH)
        if self.changed:
            self.calls = await self.desk.store.calls(self.id)
        if self.changed and (not self.calls or in_state(self.calls, "live") or in_state(self.calls, "waiting")):
            return
        info = await self.desk.store.info(self.id)
        spill_s = spill_at(self.desk, info, self.calls) - self.desk.store.now()
        moments = [after_s for after_s in (spill_s - lead_s(info), spill_s) if after_s > 0]
        wait_s = min([self.wait_s, *moments])
        with suppress(TimeoutError):
            await asyncio.wait_for(self.wake.wait(), wait_s)
        self.wake.clear()

    async def step(self, info: BatchInfo, part: Part) -> None:
        """Take one provider's batch one step further; a provider that does not answer is asked again next time."""
        if part.deployment not in self.desk.providers:
            gone = ProviderRejected(f"the model {part.deployment} is no longer configured")
            await self.refused(part, gone)
            return
        try:
            await self.advance(info, part)
        except ProviderRejected as error:
            await self.refused(part, error)
        except ProviderError as error:
            LOGGER.warning("provider's batch: %s", error.detail, extra={"fields": {"batch_id": self.id}})
            if part.asked_at and self.desk.store.now() > part.asked_at + HOPELESS_S:
                await self.refused(part, error)

    async def advance(self, info: BatchInfo, part: Part) -> None:
        """Submit, look for, poll or collect a provider's batch. Raises: `ProviderError`, `StateUnavailable`."""
        desk = self.desk
        if part.state == "read":
            await self.forget(part)
            return
        if part.state == "planned" and (part.left or info.cancelled):
            await self.refused(part, STOPPED)
            return
        if part.state != "sent":
            before, part = part, await submitted(desk, self.claim, part)
            self.changed |= part != before
        if part.state != "sent":
            return
        deployment, provider = desk.deployments[part.deployment], desk.providers[part.deployment]
        await self.stop_if_due(info, part)
        status = await desk.through(deployment, lambda: provider.status(part.id))
        if status.phase == "ended":
            await collect(desk, self.id, part)
            self.changed = True
        elif status.phase == "failed":
            raise ProviderRejected(f"{provider.name}: the batch was refused: {status.detail}")
        elif status.done != part.done:
            await desk.store.keep_parts(self.id, [replace(part, done=status.done)])

    async def forget(self, part: Part) -> None:
        """Have the provider delete a batch that was read, and close it. Raises: `ProviderError`: tried again later."""
        deployment, provider = self.desk.deployments[part.deployment], self.desk.providers[part.deployment]
        try:
            await self.desk.through(deployment, lambda: provider.forget(part.id))
        except ProviderRejected as error:
            LOGGER.warning("batch stays at the provider: %s", error.detail, extra={"fields": {"batch_id": self.id}})
        await self.desk.store.keep_parts(self.id, [replace(part, state="closed")])
        self.changed = True

    async def refused(self, part: Part, error: ProviderError) -> None:
        """End a part of which nothing will come; its calls go on by themselves."""
        await fail(self.desk, self.id, part, error)
        self.changed = True

    async def stop_if_due(self, info: BatchInfo, part: Part) -> None:
        """Ask the provider to stop, once, where the batch was cancelled or its deadline is near."""
        desk = self.desk
        due = spill_at(desk, info, self.calls) - lead_s(info)
        if part.number in self.stopped or not (info.cancelled or part.left or desk.store.now() >= due):
            return
        self.stopped.add(part.number)
        deployment, provider = desk.deployments[part.deployment], desk.providers[part.deployment]
        try:
            await desk.through(deployment, lambda: provider.cancel(part.id))
        except ProviderRejected:
            return  # it is over already

    async def spill(self, info: BatchInfo) -> None:
        """Wait for no provider any more: what is not answered is asked live, or has missed its deadline."""
        late = [call for call in self.calls.values() if call.state in ("waiting", "sent")]
        if not late:
            return
        parts = [replace(part, left=True) for part in await self.desk.store.parts(self.id) if part.state != "closed"]
        live = [replace(call, state="live") for call in late]
        await self.desk.store.keep_parts(self.id, parts, calls=live)
        self.changed = True
        if not info.terms.live:
            too_late = DeadlineExceeded("No provider's batch had answered by the deadline.")
            await self.end_with(live, too_late)

    async def give_up(self, info: BatchInfo, error: RagoptError) -> None:
        """End everything that no provider works on with the error; what a provider has done is still collected."""
        under_way = in_state(self.calls, "sent")
        await self.end_with([call for call in self.calls.values() if call.state in ("waiting", "live")], error)
        sent = {n for call in under_way for n in call.items}
        unasked = [n for n in await self.desk.store.unanswered(self.id, range(info.terms.total)) if n not in sent]
        if unasked:
            await self.record_failures(unasked, error)

    async def ask_live(self, info: BatchInfo) -> None:
        """Ask some of what is to be asked live; without leave for that, calls end with what they failed with."""
        if self.changed:
            self.calls = await self.desk.store.calls(self.id)
        calls = in_state(self.calls, "live")
        if not info.terms.live:
            for call in calls:
                if call.tries and (error := call.tries[-1].error):
                    await self.end_with([call], ReportedError(*error))
            calls = [call for call in calls if not call.tries or not call.tries[-1].error]
        if calls:
            some = calls[: LIVE_A_TURN * self.desk.rules.live_at_once]
            await answer_live(self.desk, self.id, some)
            self.changed = True

    async def end_with(self, calls: Sequence[SharedCall], error: RagoptError) -> None:
        """End calls that no provider works on with an error, and give back what is held for them."""
        for call in calls:
            await self.record_failures(call.items, error, call=call)

    async def record_failures(
        self, numbers: Sequence[int], error: RagoptError, *, call: SharedCall | None = None
    ) -> None:
        """Keep the error as the result of requests; of a call that waited, the money is given back."""
        items = await self.desk.store.items(self.id, numbers)
        results: dict[int, BatchResult] = {n: failed(item, error) for n, item in zip(numbers, items, strict=True)}
        ended = []
        if call is not None:
            if call.state == "waiting" and call.hold is not None:
                await self.desk.reservation(self.id, call, items[0].question).release()
                await self.desk.flush()
                call = replace(call, hold=None)
            ended.append(replace(call, state="done"))
        await self.desk.store.record(self.id, results, calls=ended)
        self.changed = True

    async def abandon(self, reason: str) -> None:
        """End a batch that cannot be gone on with: what has a result keeps it, and what waited costs nothing.

        What a provider was sent counts as the most that it can cost: nobody reads its bill any more.
        """
        store = self.desk.store
        for call in (await store.calls(self.id)).values():
            if call.hold is None:
                continue
            (item,) = await store.items(self.id, call.items[:1])
            reservation = self.desk.reservation(self.id, call, item.question)
            if call.state == "waiting":
                await reservation.release()
            else:
                await reservation.settle(NOTHING_USED, usd(call.hold.nano), "error", error=ABANDONED)
        await self.desk.flush()
        await store.finish(self.id, "failed", error=reason)
        await store.close(self.claim)

    async def ended(self) -> bool:
        """Return whether the batch is closed; it is done once every request has its result, closed once all is paid."""
        store = self.desk.store
        info = await store.info(self.id)
        if await store.unanswered(self.id, range(info.terms.total)):
            return False
        await store.finish(self.id, "cancelled" if info.cancelled else "done")
        if any(part.state != "closed" for part in info.parts):
            return False
        await self.desk.flush()
        await store.close(self.claim)
        return True


class ReportedError(RagoptError):
    """A failure that was met before and written down."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def in_state(calls: dict[str, SharedCall], state: str) -> list[SharedCall]:
    """Return the calls in a state."""
    return [call for call in calls.values() if call.state == state]


def spill_at(desk: Desk, info: BatchInfo, calls: dict[str, SharedCall]) -> float:
    """Return the Unix time from which what is left can only be answered live to be in time."""
    deadline = info.terms.deadline_at or info.terms.created_at + OVERDUE_S
    left = sum(call.state in ("waiting", "sent", "live") for call in calls.values())
    rules = desk.rules
    return deadline - rules.live_s * (1 + math.ceil(left / rules.live_at_once))


def lead_s(info: BatchInfo) -> float:
    """Return how long before that the providers are asked to stop, so that what they have done by then is not lost."""
    deadline = info.terms.deadline_at
    return 0.0 if deadline is None else min(60.0, (deadline - info.terms.created_at) / 10)
