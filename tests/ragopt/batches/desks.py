"""A desk over the real engines: Redis, the index and the path as they are wired, the provider stub on a socket."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from redis.asyncio import Redis

from eval.stub import StubOptions, StubServer, serve_in_thread
from indexes.edge import EdgeEngine
from indexes.library import Library
from indexes.records import Document, IndexKnobs
from ragopt.audit.trail import NoAudit
from ragopt.batches.desk import Desk
from ragopt.batches.work import Work
from ragopt.config import Settings
from ragopt.domain import Question, Tier
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.call import ModelCaller, RetryRules
from ragopt.providers.capabilities import capabilities_of
from ragopt.providers.deployment import Deployment
from ragopt.providers.openai import OpenAIProvider
from ragopt.providers.residency import Residency
from ragopt.settings.batch import BatchSettings
from ragopt.settings.collections import CollectionSettings, Unsupported
from ragopt.settings.models import PriceSettings
from ragopt.settings.money import BudgetSettings
from ragopt.settings.routing import RoutingSettings
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.entries import EntryLimits, RedisEntries
from ragopt.stages.cache.key import Keys
from ragopt.state.accounts import accounts_over
from ragopt.state.batch_records import BatchInfo, BatchItem, BatchResult, Terms
from ragopt.state.batches import Batches
from ragopt.state.client import connect
from ragopt.tokens import count_tokens_batch
from ragopt.wiring.batches import desk_over
from ragopt.wiring.path import pipeline_over
from tests.fakes import WordEncoder
from tests.model_calls import KEY
from tests.ragopt.state.scenarios import Clock

if TYPE_CHECKING:
    from indexes.embedding import Embedder

T = TypeVar("T")
PRICE = PriceSettings(input=Decimal(1), output=Decimal(10))
CHEAP = PriceSettings(input=Decimal("0.1"), output=Decimal(1))
DOCUMENTS = [
    Document("cats", "Cats sleep sixteen hours a day. They purr as well.", "Cats"),
    Document("fees", "The late fee is eight dollars. Refunds take ten days.", "Fees"),
]
CATS, FEE, REFUND = "How long do cats sleep?", "How much is the late fee?", "How long do refunds take?"
RULES = BatchSettings(poll_s=0.02, poll_max_s=0.05, lookup_s=0, live_s=0.05)
# Every question starts with the simplest model and goes up only if its answer is bad.
ROUTING = RoutingSettings(medium_from=1, complex_from=1)


@dataclass(frozen=True, slots=True)
class Model:
    """A model at the stub. fault: how it fails, in batches and live."""

    name: str
    dialect: str = "openai"
    tier: Tier = "simple"
    fault: str = ""
    price: PriceSettings = PRICE
    batch: bool = True
    regions: tuple[str, ...] = ()

    def deployment(self, stub: StubServer) -> Deployment:
        """Return it, ready to call."""
        model = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}[self.dialect]
        provider = (
            OpenAIProvider(KEY, stub.openai_url)
            if self.dialect == "openai"
            else AnthropicProvider(KEY, stub.anthropic_url)
        )
        takes = replace(capabilities_of(self.dialect, model), batch=self.batch)
        named = f"{model}/fault={self.fault}" if self.fault else model
        return Deployment(
            self.name,
            provider,
            named,
            self.tier,
            timeout_s=60,
            price=self.price,
            capabilities=takes,
            base_url="stub",
            regions=self.regions,
        )


@dataclass(frozen=True, slots=True)
class Office:
    """A desk with what is around it."""

    desk: Desk
    stub: StubServer
    redis: Redis
    clock: Clock

    async def accept(self, *questions: Question, deadline_s: float | None = None, live: bool = True) -> str:
        """Return the id of a new batch of these questions, whose custom ids are `q0` and so on."""
        now = self.clock()
        deadline_at = None if deadline_s is None else now + deadline_s
        items = [
            BatchItem(f"q{n}", replace(item, answer_id=f"ans_{secrets.token_hex(4)}_{n}"))
            for n, item in enumerate(questions)
        ]
        terms = Terms("acme", "default", now, deadline_at, live=live, total=len(items))
        batch_id, _ = await self.desk.store.create(terms, items)
        return batch_id

    async def work(self, batch_id: str, *, within_s: float = 120) -> None:
        """Work on a batch until it is closed."""
        (claim,) = [claim for claim in await self.desk.store.claim() if claim.id == batch_id]
        async with asyncio.timeout(within_s):
            await Work(self.desk, claim).run()

    async def results(self, batch_id: str) -> dict[str, BatchResult]:
        """Return the results by custom id."""
        total = (await self.desk.store.info(batch_id)).terms.total
        return {item.custom_id: item async for item in self.desk.store.results(batch_id, total=total)}

    async def answered(
        self, *questions: Question, deadline_s: float | None = None, live: bool = True
    ) -> tuple[BatchInfo, dict[str, BatchResult]]:
        """Return how a batch of these questions ended, and its results by custom id."""
        batch_id = await self.accept(*questions, deadline_s=deadline_s, live=live)
        await self.work(batch_id)
        return await self.desk.store.info(batch_id), await self.results(batch_id)

    async def held(self) -> int:
        """Return how many holds there are of any budget."""
        await self.desk.flush()
        return sum([await self.redis.zcard(key) async for key in self.redis.scan_iter("ragopt:budget-held:*")])

    async def spent(self) -> int:
        """Return the nano-USD that the budgets count as spent, over all of them."""
        await self.desk.flush()
        keys = [key async for key in self.redis.scan_iter("ragopt:budget:*")]
        return sum([int(await self.redis.hget(key, "spent") or 0) for key in keys])

    def batches_made(self) -> int:
        """Return how many batches the provider has."""
        made = [call for call in self.stub.calls if call.path in ("/v1/batches", "/v1/messages/batches")]
        return sum(call.status == 200 and call.method == "POST" for call in made)

    def deleted(self) -> int:
        """Return how many files and batches were deleted at the provider."""
        return sum(call.status == 200 and call.method == "DELETE" for call in self.stub.calls)


def ask(text: str, **more: object) -> Question:
    """Return a question of the tenant, with nothing left to the response cache unless said."""
    knobs = Settings(min_relevance=0).knobs()
    fields: dict[str, object] = {"tenant": "acme", "key_id": "k1", "knobs": knobs, "cache": "off", **more}
    return Question(text, **fields)  # type: ignore[arg-type]


def in_office(
    redis_url: str,
    scenario: Callable[[Office], Awaitable[T]],
    *models: Model,
    budgets: Sequence[BudgetSettings] = (),
    rules: BatchSettings = RULES,
    regions: tuple[str, ...] = (),
    unsupported: Unsupported = "flag",
    batch_s: float = 0,
) -> T:
    """Return what the scenario comes to in an office of its own.

    regions: where its documents may go, () for any. unsupported: what becomes of claims that they do not support.
    """

    async def run(stub: StubServer) -> T:
        collections = (CollectionSettings(name="default", regions=regions, unsupported=unsupported),)
        settings = Settings(routing=ROUTING, budgets=tuple(budgets), batch=rules, collections=collections)
        async with opened(redis_url, stub, models or (Model("small"),), settings=settings) as office:
            return await scenario(office)

    with serve_in_thread(StubOptions(batch_s=batch_s)) as stub:
        return asyncio.run(run(stub))


@asynccontextmanager
async def opened(
    redis_url: str, stub: StubServer, models: Sequence[Model], *, settings: Settings
) -> AsyncIterator[Office]:
    """Yield an office with the documents above."""
    clock, encoder = Clock(time.time()), WordEncoder()
    embedder = cast("Embedder", encoder)
    async with AsyncExitStack() as stack:
        library = await library_in(stack, encoder)
        redis = connect(redis_url, timeout_s=60)
        stack.push_async_callback(redis.aclose)
        accounts = accounts_over(redis, settings)
        stack.push_async_callback(accounts.close)
        deployments = [model.deployment(stub) for model in models]
        for deployment in deployments:
            stack.push_async_callback(deployment.provider.close)
        residency = Residency(settings.collections)
        caller = ModelCaller(accounts.prices, meter=accounts.meter, retries=RetryRules(attempts=1), residency=residency)
        # A busy machine must not make a miss.
        entries = RedisEntries(redis, limits=EntryLimits(timeout_s=30))
        pipeline = pipeline_over(
            library,
            embedder,
            judge=None,
            settings=settings,
            cache=ResponseCache(Keys("test", frozenset()), entries, library, encoder.encode_question),
            deployments=deployments,
            prices=accounts.prices,
            caller=caller,
        )
        desk = desk_over(
            Batches(redis, now=clock),
            pipeline,
            settings=settings,
            deployments=deployments,
            caller=caller,
            accounts=accounts,
            embedder=encoder.tag,
            audit=NoAudit(),
        )
        yield Office(desk, stub, redis, clock)


async def library_in(stack: AsyncExitStack, encoder: WordEncoder) -> Library:
    """Return a library with the documents above, in a folder that goes with the stack."""
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ragopt-test-"))
    engine = EdgeEngine(Path(folder))
    stack.push_async_callback(engine.close)
    library = Library(engine, encoder, knobs=IndexKnobs(), count_tokens=count_tokens_batch, max_document_bytes=10_000)
    await library.ingest("acme", "default", DOCUMENTS)
    return library
