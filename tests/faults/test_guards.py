"""Guards taken out one at a time: what holds with a guard must not hold without it, or nothing watches it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import pytest
from redis.asyncio import Redis

from eval.fault_cases import Case, asked, broken
from eval.stub import serve_in_thread
from indexes.access import EVERYTHING
from indexes.edge import EdgeEngine
from indexes.library import Library
from indexes.records import Document, FloatVector, Hit, IndexKnobs, SparseVector
from indexes.store import Engine, Payload, Point, Scored, Store, Where
from ragopt.domain import Usage
from ragopt.errors import BudgetSpent
from ragopt.money.meter import BudgetMeter
from ragopt.money.prices import Prices
from ragopt.providers.call import ModelCaller
from ragopt.providers.openai import OpenAIProvider, OpenAIReply
from ragopt.providers.protocol import Completed, CompletionRequest
from ragopt.providers.sdk import Head
from ragopt.settings.money import BudgetSettings
from ragopt.state.budgets import Budgets
from ragopt.state.ledger import Ledger
from ragopt.state.outbox import Outbox
from ragopt.tokens import count_tokens_batch
from tests.fakes import WordEncoder
from tests.model_calls import KEY
from tests.ragopt.money.questions import REQUEST, budget, deployment, question
from tests.ragopt.state.scenarios import with_redis

COLLECTION = "handbook"

Record = Callable[[str, object], None]


# The index: a store that forgets part of every filter, and an engine that has one store for everybody.


@dataclass(frozen=True)
class Forgetful:
    """A store whose filters miss these fields."""

    store: Store
    forgets: tuple[str, ...]

    def seen(self, where: Where) -> Where:
        """Return the filter without what is forgotten."""
        return replace(
            where,
            equal={name: value for name, value in where.equal.items() if name not in self.forgets},
            at_most={name: value for name, value in where.at_most.items() if name not in self.forgets},
            above={name: value for name, value in where.above.items() if name not in self.forgets},
            holds=[(name, values) for name, values in where.holds if name not in self.forgets],
        )

    async def upsert(self, points: Sequence[Point]) -> None:
        """Insert or replace points."""
        await self.store.upsert(points)

    async def search_dense(self, vector: FloatVector, where: Where, *, limit: int) -> list[Scored]:
        """Search with what is left of the filter."""
        return await self.store.search_dense(vector, self.seen(where), limit=limit)

    async def search_sparse(self, vector: SparseVector, where: Where, *, limit: int) -> list[Scored]:
        """Search with what is left of the filter."""
        return await self.store.search_sparse(vector, self.seen(where), limit=limit)

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[Point]:
        """Return the points."""
        return await self.store.fetch(ids, with_vectors=with_vectors)

    def scroll(self, where: Where, *, with_vectors: bool = False) -> AsyncIterator[Point]:
        """Yield the points that match."""
        return self.store.scroll(where, with_vectors=with_vectors)

    async def set_payload(self, where: Where, payload: Payload) -> None:
        """Merge the payload into the points that match."""
        await self.store.set_payload(where, payload)

    async def delete(self, where: Where) -> None:
        """Delete the points that match."""
        await self.store.delete(where)

    async def count(self, where: Where) -> int:
        """Count the points that match."""
        return await self.store.count(where)

    async def optimize(self) -> bool:
        """Let the engine reorganise itself."""
        return await self.store.optimize()

    async def close(self) -> None:
        """Close the store."""
        await self.store.close()


@dataclass(frozen=True)
class OneForAll:
    """An engine that keeps every tenant's points in one store, so that the filters alone keep them apart."""

    engine: Engine
    forgets: tuple[str, ...] = ()

    async def open(self, name: str, *, dim: int) -> Store:
        """Return the one store."""
        return Forgetful(await self.engine.open("pool", dim=dim), self.forgets)

    async def names(self) -> list[str]:
        """Return the name of the one store."""
        return await self.engine.names()

    async def ping(self) -> None:
        """Return if the engine answers."""
        await self.engine.ping()

    async def close(self) -> None:
        """Close the engine."""
        await self.engine.close()


def library_over(engine: Engine) -> Library:
    """Return a library of words."""
    return Library(
        engine,
        WordEncoder(),
        knobs=IndexKnobs(chunk_tokens=20),
        count_tokens=count_tokens_batch,
        max_document_bytes=100_000,
    )


async def found(library: Library, tenant: str) -> list[Hit]:
    """Return what a tenant finds of the rules."""
    encoded = await WordEncoder().encode_question("the rule says")
    _, hits = await library.search(
        tenant, COLLECTION, "the rule says", question=encoded, top_k=50, timer=lambda _: nullcontext()
    )
    return hits


def tenants_are_apart(folder: Path, forgets: tuple[str, ...]) -> None:
    """Check that no tenant finds what is another's, in one store for both."""

    async def run() -> None:
        engine = EdgeEngine(folder)
        library = library_over(OneForAll(engine, forgets))
        try:
            for tenant in ("acme", "globex"):
                await library.ingest(tenant, COLLECTION, [Document("a", f"The rule says {tenant} opens at nine.")])
            for tenant in ("acme", "globex"):
                assert {hit.chunk.text for hit in await found(library, tenant)} == {
                    f"The rule says {tenant} opens at nine."
                }
        finally:
            await library.close()
            await engine.close()

    asyncio.run(run())


def only_the_newest_version_is_found(folder: Path, forgets: tuple[str, ...]) -> None:
    """Check that a text that was replaced and one that was deleted are found no more."""

    async def run() -> None:
        engine = EdgeEngine(folder)
        library = library_over(OneForAll(engine, forgets))
        try:
            for edition in (1, 2):
                await library.ingest("acme", COLLECTION, [Document("a", f"The rule says number {edition}.")])
            assert [hit.chunk.text for hit in await found(library, "acme")] == ["The rule says number 2."]
            await library.delete("acme", COLLECTION, "a")
            assert await found(library, "acme") == []
        finally:
            await library.close()
            await engine.close()

    asyncio.run(run())


def lists_are_kept(folder: Path, forgets: tuple[str, ...]) -> None:
    """Check that nobody finds a document whose list does not name them."""

    async def run() -> None:
        engine = EdgeEngine(folder)
        library = library_over(OneForAll(engine, forgets))
        try:
            texts = {None: "The rule says come in.", ("group:hr",): "The rule says keep out."}
            documents = [Document(str(n), text, access=access) for n, (access, text) in enumerate(texts.items())]
            await library.ingest("acme", COLLECTION, documents, by=EVERYTHING)
            assert [hit.chunk.text for hit in await found(library, "acme")] == [texts[None]]
        finally:
            await library.close()
            await engine.close()

    asyncio.run(run())


@pytest.mark.parametrize("check", [tenants_are_apart, only_the_newest_version_is_found, lists_are_kept])
def test_the_filters_hold(tmp_path: Path, check: Callable[[Path, tuple[str, ...]], None]) -> None:
    """With every filter in place, tenants and versions are kept apart, even in one store for all."""
    check(tmp_path, ())


@pytest.mark.parametrize(
    ("check", "forgets"),
    [
        (tenants_are_apart, ("tenant",)),
        (only_the_newest_version_is_found, ("dead",)),
        (only_the_newest_version_is_found, ("born", "dead")),
        (lists_are_kept, ("readers",)),
    ],
)
def test_without_a_filter_the_check_fails(
    tmp_path: Path, check: Callable[[Path, tuple[str, ...]], None], forgets: tuple[str, ...], record_property: Record
) -> None:
    """Take out the tenant, the version or the readers of every search, and what is not theirs or is gone is found."""
    record_property("flipped", 1)
    with pytest.raises(AssertionError):
        check(tmp_path, forgets)


# The stream: a reply that takes the end of the connection for the end of the answer, as both SDKs do.


class TrustingReply(OpenAIReply):
    """What the answer amounts to, complete whatever was missing."""

    def completed(self, request: CompletionRequest, head: Head) -> Completed:
        """Return the terminal event, with or without a finish reason."""
        self.finish = self.finish or "stop"
        return super().completed(request, head)


class TrustingProvider(OpenAIProvider):
    """The OpenAI dialect without the check that a stream is complete."""

    def reply(self, request: CompletionRequest) -> OpenAIReply:
        """Return what keeps the answer of one call."""
        return TrustingReply()


def check_a_cut_answer_is_marked(make: Callable[..., OpenAIProvider]) -> None:
    """Check that an answer whose stream ended cleanly in the middle is not served as the whole one."""

    async def run(url: str) -> str:
        provider = make(KEY, url)
        case = Case("cut", "openai", streaming=True)
        try:
            outcome = await asked(case, (broken(case, provider),), caller=ModelCaller(Prices()), deadline_s=20)
        finally:
            await provider.close()
        return outcome.problem

    with serve_in_thread() as stub:
        assert asyncio.run(run(stub.openai_url)) == ""


def test_a_stream_that_was_cut_is_marked() -> None:
    """With the guard, the caller is told that the answer is partial."""
    check_a_cut_answer_is_marked(OpenAIProvider)


def test_without_the_stream_guard_the_check_fails(record_property: Record) -> None:
    """Trust the end of the connection, and half an answer is served as the whole one."""
    record_property("flipped", 1)
    with pytest.raises(AssertionError, match="was served as the whole answer"):
        check_a_cut_answer_is_marked(TrustingProvider)


# The budget: a meter that knows of no budget lets every call through.


def check_nothing_is_overspent(redis_url: str, entries: tuple[BudgetSettings, ...]) -> None:
    """Check that a hundred calls at once cost no more than the budget of $0.10."""
    paid, cost = Usage(input_tokens=1_000, output_tokens=100), Decimal("0.002")

    async def scenario(redis: Redis) -> None:
        outbox = Outbox(redis, retry_s=0.02)
        meter = BudgetMeter(Budgets(redis, outbox), Ledger(redis, outbox), settings=entries, prices=Prices())
        request = replace(REQUEST, max_output_tokens=200)

        async def one() -> Decimal:
            try:
                reservation = await meter.reserve(deployment(), request, question())
            except BudgetSpent:
                return Decimal(0)
            await reservation.settle(paid, cost, "ok")
            return cost

        spent = sum(await asyncio.gather(*(one() for _ in range(100))), Decimal(0))
        assert await outbox.flush(within_s=60)
        assert 0 < spent <= Decimal("0.10")

    with_redis(redis_url, scenario)


def test_a_budget_is_not_passed(redis_url: str) -> None:
    """With the guard, calls at the same time spend no more than there is."""
    check_nothing_is_overspent(redis_url, (budget(day="0.10"),))


def test_without_the_budget_the_check_fails(redis_url: str, record_property: Record) -> None:
    """Take the budget out of the meter, and the calls spend twice as much."""
    record_property("flipped", 1)
    with pytest.raises(AssertionError):
        check_nothing_is_overspent(redis_url, ())
