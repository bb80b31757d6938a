"""The runner: batches are worked on side by side, put back at its end, and survive what fails under it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from ragopt.batches.runner import BatchRunner
from tests.ragopt.batches.desks import CATS, FEE, Model, Office, ask, in_office


async def ended(office: Office, batch_id: str) -> None:
    """Return once the batch has ended."""
    async with asyncio.timeout(120):
        while (await office.desk.store.info(batch_id)).ended_at is None:
            await asyncio.sleep(0.01)


async def sent(office: Office, batch_id: str) -> None:
    """Return once the provider has the batch and its id is written down."""
    async with asyncio.timeout(120):
        while not all([part.id for part in await office.desk.store.parts(batch_id)] or [""]):
            await asyncio.sleep(0.01)


def test_batches_run_side_by_side_and_end(redis_url: str) -> None:
    """One that waits for its provider holds up no other."""

    async def scenario(office: Office) -> None:
        first = await office.accept(ask(CATS, model="slow"))
        second = await office.accept(ask(FEE, model="quick"))
        async with BatchRunner(office.desk):
            await ended(office, second)
            # The provider's clock counts from when it has the batch.
            await sent(office, first)
            assert (await office.desk.store.info(first)).ended_at is None
            office.stub.advance(1_000)
            await ended(office, first)

    # The second model has no batch API, so that it is answered while the first waits.
    in_office(redis_url, scenario, Model("slow"), Model("quick", "anthropic", batch=False), batch_s=500)


def test_another_process_goes_on_at_once_after_a_clean_stop(redis_url: str) -> None:
    """What a runner leaves at its end is nobody's, and is submitted once in all."""

    async def scenario(office: Office) -> None:
        batch_id = await office.accept(ask(CATS))
        async with BatchRunner(office.desk):
            # A stop before the provider's id is written down is another case, which a clock must see through.
            await sent(office, batch_id)
        assert [claim.id for claim in await office.desk.store.claim()] == [batch_id]
        await office.desk.store.orphan()
        office.stub.advance(1_000)
        async with BatchRunner(office.desk):
            await ended(office, batch_id)
        assert (office.batches_made(), len(office.stub.state.asked_in_batches)) == (1, 1)

    in_office(redis_url, scenario, batch_s=500)


def test_a_batch_that_cannot_be_gone_on_with_ends_as_failed(redis_url: str) -> None:
    """A fault that comes again ends that batch alone, and nothing stays held."""

    async def scenario(office: Office) -> None:
        batch_id = await office.accept(ask(CATS))

        def broken(_: object) -> None:
            raise RuntimeError("a fault of ours")

        async with BatchRunner(replace(office.desk, plan=broken)):  # type: ignore[arg-type]
            await ended(office, batch_id)
        info = await office.desk.store.info(batch_id)
        assert (info.state, info.error, await office.held()) == ("failed", "internal_error: see the log", 0)
        assert await office.desk.store.claim() == []

    in_office(redis_url, scenario)
