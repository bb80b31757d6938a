"""Calls into the batches of a provider: the money held first, every submission written down before it is made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragopt.batches.desk import Desk, sent_name
from ragopt.batches.gathering import all_or_none
from ragopt.domain import TIER_RANK
from ragopt.errors import BudgetSpent, ModelPaused, ProviderError, ProviderRejected, ProviderThrottled, StateUnavailable
from ragopt.providers.batches.protocol import BatchCall, BatchTag
from ragopt.providers.batches.splitting import split
from ragopt.providers.deployment import first_of_each_tier
from ragopt.state.batch_records import BatchItem, Half, Part, SharedCall
from ragopt.state.batches import Claim, runs

LOGGER = logging.getLogger("ragopt.batches")
HOLDS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Paid:
    """A call whose money is held, and the bytes it takes in a batch; `size` 0 where it goes live instead."""

    call: SharedCall
    size: int


async def put_into_parts(desk: Desk, batch_id: str, waiting: Sequence[SharedCall]) -> list[SharedCall]:
    """Hold the money of the calls that wait and put them into parts; return them as they are then.

    A call that no budget pays for in a batch goes live: there a cheaper model, the passages or an error are left.
    Raises: `StateUnavailable`: then what is held is held again by whoever goes on.
    """
    paid: list[Paid] = []
    for some in runs(waiting):
        paid += await held(desk, batch_id, some)
    number = len(await desk.store.parts(batch_id))
    parts: list[Part] = []
    for name in sorted({item.call.deployment for item in paid if item.size}):
        own = [item for item in paid if item.size and item.call.deployment == name]
        for places in split([item.size for item in own], desk.limits[desk.providers[name].name]):
            calls = [own[at].call for at in places]
            names = tuple(sent_name(batch_id, call) for call in calls)
            parts.append(Part(number + len(parts), name, tuple(call.key for call in calls), names))
    placed = [replace(item.call, state="sent") if item.size else item.call for item in paid]
    await desk.store.keep_parts(batch_id, parts, calls=placed)
    return placed


async def held(desk: Desk, batch_id: str, calls: Sequence[SharedCall]) -> list[Paid]:
    """Return some calls with their money held, in their order."""
    leaders = [call.items[0] for call in calls]
    items = await desk.store.items(batch_id, leaders)
    halves = await desk.store.halves(batch_id, leaders)
    holders = [_Holder(desk, batch_id, *pair) for pair in zip(items, halves, strict=True)]
    paid = (holder.paid(call) for holder, call in zip(holders, calls, strict=True))
    return await all_or_none(paid, at_once=HOLDS_AT_ONCE)


@dataclass(frozen=True, slots=True)
class _Holder:
    """Holds the money of one call. item, half: of the first of its requests."""

    desk: Desk
    batch_id: str
    item: BatchItem
    half: Half

    async def paid(self, call: SharedCall) -> Paid:
        """Return the call with its money held, of a cheaper model where the budgets want it; else to go live.

        Live it goes too where its collection bars the model: there the route is planned anew.
        """
        for offered in (call, *self.cheaper(call)):
            try:
                self.desk.caller.refuse_barred(self.desk.deployments[offered.deployment], self.item.question)
                return await self.take(offered)
            except ProviderRejected:
                continue
            except BudgetSpent as error:
                if error.when_spent != "cheaper_tier":
                    break
        return Paid(replace(call, state="live", hold=None), 0)

    async def take(self, call: SharedCall) -> Paid:
        """Return the call with its money held. Raises: `BudgetSpent`, `StateUnavailable`."""
        desk, sent = self.desk, self.desk.call(self.batch_id, call, item=self.item, half=self.half)
        if call.hold is None:
            deployment = desk.deployments[call.deployment]
            planned = await desk.meter.planned(deployment, sent.request, self.item.question, name=sent.custom_id)
            call = replace(call, hold=planned.hold)
            if call.hold is not None:
                # Written down before it is held: whoever goes on after us can give it back.
                await desk.store.keep_calls(self.batch_id, [call])
        await desk.meter.take(desk.reservation(self.batch_id, call, self.item.question))
        return Paid(call, await asyncio.to_thread(desk.providers[call.deployment].size_bytes, sent))

    def cheaper(self, call: SharedCall) -> list[SharedCall]:
        """Return the call as it would be made of the first model of each lower tier that has batches, dearest first."""
        rank = TIER_RANK[self.desk.deployments[call.deployment].tier]
        lower = [item for item in first_of_each_tier(self.desk.deployments.values()) if TIER_RANK[item.tier] < rank]
        return [
            replace(
                call,
                chain=(*call.chain[: call.step], item.name),
                hold=None,
                lesser=True,
                mends=0 if call.draft else call.mends,
                reason=f"a budget does not pay for {call.deployment} in a batch; {call.reason}",
            )
            for item in lower
            if item.name in self.desk.providers
        ]


async def submitted(desk: Desk, claim: Claim, part: Part) -> Part:
    """Return the part with the provider's id of its batch; as it was where it is not known yet.

    A part whose submission began before and was not confirmed is looked for, and submitted again only if the
    provider does not have it. Raises: `ProviderRejected` if the provider will not have it, `StateUnavailable`.
    """
    batch_id = claim.id
    if part.state == "sending":
        return await found_again(desk, batch_id, part)
    if not await desk.store.beat(claim):
        raise StateUnavailable("another process works on the batch")
    sending = replace(part, state="sending", asked_at=desk.store.now())
    calls = await calls_of(desk, batch_id, part)
    await desk.store.keep_parts(batch_id, [sending])
    deployment, provider = desk.deployments[part.deployment], desk.providers[part.deployment]
    try:
        given = await desk.through(deployment, lambda: provider.submit(calls, tag=tag_of(batch_id, part)))
    except (ProviderRejected, ProviderThrottled, ModelPaused) as error:
        # It said no, so there is nothing to look for.
        await desk.store.keep_parts(batch_id, [part])
        if isinstance(error, ProviderRejected):
            raise
        LOGGER.warning("batch not submitted: %s", error.detail, extra={"fields": {"batch_id": batch_id}})
        return part
    except ProviderError as error:
        LOGGER.warning("batch not confirmed: %s", error.detail, extra={"fields": {"batch_id": batch_id}})
        return sending
    sent = replace(sending, state="sent", id=given)
    await desk.store.keep_parts(batch_id, [sent])
    LOGGER.info(
        "batch submitted",
        extra={"fields": {"batch_id": batch_id, "provider_id": given, "calls": len(calls)}},
    )
    return sent


async def found_again(desk: Desk, batch_id: str, part: Part) -> Part:
    """Return the part with the id of its batch, found at the provider; to be submitted again if it is not there."""
    deployment, provider = desk.deployments[part.deployment], desk.providers[part.deployment]
    tag = BatchTag(tag_of(batch_id, part), frozenset(part.names), part.asked_at)
    try:
        found = await desk.through(deployment, lambda: provider.find(tag))
    except ProviderError as error:
        LOGGER.warning("batch not looked for: %s", error.detail, extra={"fields": {"batch_id": batch_id}})
        return part
    if found.id is None and (found.undecided or desk.store.now() < part.asked_at + desk.rules.lookup_s):
        # A list may lag behind: what is not there yet may come.
        return part
    known = replace(part, state="sent", id=found.id) if found.id else replace(part, state="planned")
    await desk.store.keep_parts(batch_id, [known])
    return known


async def calls_of(desk: Desk, batch_id: str, part: Part) -> list[BatchCall]:
    """Return the calls of a part as they are sent.

    Raises: `ProviderRejected` where the collection of one bars the model, as it did not when the part was made.
    """
    known = await desk.store.calls(batch_id)
    calls = [known[key] for key in part.keys]
    made: list[BatchCall] = []
    for some in runs(calls):
        leaders = [call.items[0] for call in some]
        items = await desk.store.items(batch_id, leaders)
        halves = await desk.store.halves(batch_id, leaders)
        for item in items:
            desk.caller.refuse_barred(desk.deployments[part.deployment], item.question)
        made += [
            desk.call(batch_id, call, item=item, half=half)
            for call, item, half in zip(some, items, halves, strict=True)
        ]
    return made


def tag_of(batch_id: str, part: Part) -> str:
    """Return by what the provider's batch is found again."""
    return f"{batch_id}-{part.number}"
