"""Settings in, a running service out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from indexes.errors import IndexingError
from indexes.library import Library
from ragopt.audit.trail import Audit
from ragopt.batches.desk import Desk
from ragopt.config import Settings
from ragopt.errors import RagoptError
from ragopt.exports.keeping import Keeper
from ragopt.fetching.fetcher import UrlFetcher
from ragopt.money.prices import load_table
from ragopt.pipeline import Pipeline
from ragopt.ports import AnswerCache
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment
from ragopt.providers.health import BreakerState
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.off import NoCache
from ragopt.state.access import ping_redis
from ragopt.state.accounts import Accounts, accounts_over
from ragopt.state.batches import Batches, batches_in
from ragopt.state.client import connect
from ragopt.state.conversations import Conversations
from ragopt.state.experiments import Experiments
from ragopt.state.feedback import Feedback
from ragopt.state.idempotency import Idempotency
from ragopt.state.jobs import Jobs
from ragopt.state.kept import KeptAnswers, kept_in
from ragopt.state.keys import KeyStore
from ragopt.state.locks import commit_lock_for
from ragopt.state.rates import RateLimiter
from ragopt.tokens import count_tokens
from ragopt.wiring.auditing import opened_audit
from ragopt.wiring.batches import desk_over
from ragopt.wiring.caching import loaded_verifier, opened_cache
from ragopt.wiring.engines import (
    AnyEmbedder,
    LocalModels,
    loaded_claim_judge,
    loaded_embedder,
    loaded_judge,
    opened_library,
    redis_address,
)
from ragopt.wiring.history import folding
from ragopt.wiring.models import caller_over, connect_all, deployments_of
from ragopt.wiring.path import gate_over, inspections_over, pipeline_over
from ragopt.wiring.privacy import loaded_recognisers

STATE_TIMEOUT_S = 0.5


class Closable(Protocol):
    """What holds something until it is closed."""

    async def close(self) -> None:
        """Give it back."""


ClosableT = TypeVar("ClosableT", bound=Closable)


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: what the HTTP layer and the command line drive."""

    settings: Settings
    library: Library
    pipeline: Pipeline
    cache: ResponseCache | NoCache
    keys: KeyStore
    conversations: Conversations
    jobs: Jobs
    batches: Desk
    idempotency: Idempotency
    accounts: Accounts
    feedback: Feedback
    keeper: Keeper
    rates: RateLimiter
    experiments: Experiments
    fetch: UrlFetcher
    breakers: Callable[[], Mapping[str, BreakerState]]
    pings: Mapping[str, Callable[[], Awaitable[None]]]
    warm: Callable[[], Awaitable[None]]

    @property
    def audit(self) -> Audit:
        """Return what takes the acts of the service: the same that takes those of its batches."""
        return self.batches.audit

    async def readiness(self) -> dict[str, str]:
        """Return `ok` or `down` per dependency."""
        states = await asyncio.gather(*(health(ping()) for ping in self.pings.values()))
        return dict(zip(self.pings, states, strict=True))


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Yield a service with everything started; stops it in reverse order.

    Raises: `ConfigError`, `StoreLocked`, `ModelUnavailable`, `StoreUnavailable`, `StateUnavailable`.
    """
    async with AsyncExitStack() as stack:
        redis_url, models = await started(settings, stack)
        redis = connect(redis_url, timeout_s=STATE_TIMEOUT_S)
        stack.push_async_callback(redis.aclose)
        # Embedded, one process owns the index; a shared index needs its writers serialised across processes.
        lock_for = commit_lock_for(redis) if settings.qdrant_url else None
        library = await opened_library(settings, stack, models=models, lock_for=lock_for)
        cache = await opened_cache(settings, stack, redis_url=redis_url, library=library, models=models)
        accounts = closed_with(stack, accounts_over(redis, settings))
        deployments = opened_models(settings, stack)
        caller = caller_over(settings, prices=accounts.prices, meter=accounts.meter)
        fold, write = folding(settings.history, deployments=deployments, caller=caller)
        conversations = Conversations(redis, ttl_s=settings.conversation_ttl_s, fold=fold, write=write)
        pipeline, desk = opened_paths(
            settings,
            deployments,
            caller,
            library=library,
            models=models,
            cache=cache,
            accounts=accounts,
            batches=await batches_in(redis, alone=not settings.redis_url),
            audit=await opened_audit(settings, stack),
        )
        yield Service(
            settings=settings,
            library=library,
            pipeline=pipeline,
            cache=cache,
            keys=KeyStore(redis, bootstrap=settings.api_key),
            conversations=closed_with(stack, conversations),
            jobs=Jobs(redis),
            batches=desk,
            idempotency=Idempotency(redis, alone=not settings.redis_url),
            accounts=accounts,
            feedback=Feedback(redis, accounts.outbox),
            keeper=closed_with(stack, keeper_over(kept_in(redis, accounts.outbox, settings.export), settings, models)),
            rates=await stack.enter_async_context(aclosing(RateLimiter(redis))),
            experiments=Experiments(redis, accounts.outbox, settings.experiments),
            fetch=UrlFetcher(settings.url_ingest),
            breakers=caller.breakers,
            pings={"index": library.ping, "redis": partial(ping_redis, redis), "embedder": models.embedder.ping},
            warm=partial(connect_all, deployments),
        )


def keeper_over(store: KeptAnswers, settings: Settings, models: LocalModels) -> Keeper:
    """Return what chooses the answers that are kept, and takes the personal data out of them."""
    return Keeper(store, settings.collections, models.recognisers)


def closed_with(stack: AsyncExitStack, resource: ClosableT) -> ClosableT:
    """Return a resource that is closed with the stack."""
    stack.push_async_callback(resource.close)
    return resource


async def started(settings: Settings, stack: AsyncExitStack) -> tuple[str, LocalModels]:
    """Return Redis's URL and the local models, closed with the stack; Redis starts beside the models."""
    redis_url, models, _ = await asyncio.gather(
        redis_address(settings, stack),
        loaded_models(settings, stack),
        # Their first use would hold up an answer.
        asyncio.gather(asyncio.to_thread(count_tokens, ""), asyncio.to_thread(load_table)),
    )
    return redis_url, models


async def loaded_models(settings: Settings, stack: AsyncExitStack) -> LocalModels:
    """Return the local models, closed with the stack: one after the other.

    Side by side, the embedder sets numpy's threads while another model computes, and now and then both wait for ever.
    """
    embedder = await loaded_embedder(settings, stack)
    reranker = await loaded_judge(settings, stack)
    verifier = await loaded_verifier(settings, stack)
    claims = await loaded_claim_judge(stack)
    recognisers = await loaded_recognisers(settings, stack)
    return LocalModels(embedder, reranker=reranker, verifier=verifier, claims=claims, recognisers=recognisers)


def opened_models(settings: Settings, stack: AsyncExitStack) -> list[Deployment]:
    """Return the configured models, closed with the stack. Raises: `ConfigError`."""
    deployments = deployments_of(settings.models)
    for deployment in deployments:
        stack.push_async_callback(deployment.provider.close)
    return deployments


def opened_paths(
    settings: Settings,
    deployments: Sequence[Deployment],
    caller: ModelCaller,
    *,
    library: Library,
    models: LocalModels,
    cache: AnswerCache,
    accounts: Accounts,
    batches: Batches,
    audit: Audit,
) -> tuple[Pipeline, Desk]:
    """Return the pipeline of a service and its desk for batches, over the same cache, models, breakers and books."""
    pipeline = pipeline_over(
        library,
        models.embedder,
        judge=models.reranker,
        claims=models.claims,
        settings=settings,
        cache=cache,
        deployments=deployments,
        prices=accounts.prices,
        caller=caller,
        audit=audit,
        recognisers=models.recognisers,
    )
    desk = desk_over(
        batches,
        pipeline,
        settings=settings,
        deployments=deployments,
        caller=caller,
        accounts=accounts,
        embedder=models.embedder.tag,
        gate=gate_over(models.claims, settings),
        inspect=inspections_over(models.claims, settings, models.recognisers),
        audit=audit,
    )
    return pipeline, desk


@asynccontextmanager
async def open_embedder(settings: Settings) -> AsyncIterator[AnyEmbedder]:
    """Yield the configured embedding model alone. Raises: `ModelUnavailable`."""
    async with AsyncExitStack() as stack:
        yield await loaded_embedder(settings, stack)


@asynccontextmanager
async def open_library(settings: Settings) -> AsyncIterator[tuple[Library, Pipeline]]:
    """Yield library and pipeline alone, for evaluation and the CLI: no Redis, no cache, no configured model.

    Raises: `ConfigError`, `ModelUnavailable`.
    """
    async with AsyncExitStack() as stack:
        embedder = await loaded_embedder(settings, stack)
        judge = await loaded_judge(settings, stack)
        claims = await loaded_claim_judge(stack)
        recognisers = await loaded_recognisers(settings, stack)
        models = LocalModels(embedder, reranker=judge, verifier=None, claims=claims, recognisers=recognisers)
        library = await opened_library(settings, stack, models=models)
        pipeline = pipeline_over(
            library,
            embedder,
            judge=judge,
            claims=claims,
            settings=settings,
            cache=NoCache(),
            deployments=(),
            recognisers=recognisers,
        )
        yield library, pipeline


async def health(ping: Awaitable[None]) -> str:
    """Return `ok` if the dependency answers, else `down`."""
    try:
        await ping
    except (IndexingError, RagoptError):
        return "down"
    return "ok"
