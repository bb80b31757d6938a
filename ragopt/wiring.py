"""The composition root: the only file that names concrete classes. Settings in, a running service out."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

from indexes.edge import EdgeEngine
from indexes.embedding import Embedder
from indexes.errors import IndexingError
from indexes.library import Library, LockFor
from indexes.qdrant import QdrantEngine
from indexes.records import IndexKnobs
from indexes.store import Engine
from ragopt.config import ModelSettings, ResilienceSettings, Settings, cache_dir, hub_cache_dir, runtime_dir
from ragopt.errors import ConfigError, RagoptError
from ragopt.money.prices import Prices, table_version
from ragopt.money.savings import SavingsCounter
from ragopt.pipeline import AnswerCache, Pipeline
from ragopt.prompt import VERSION as PROMPT_VERSION
from ragopt.prompt import build_prompt
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.call import ModelCaller, RetryRules
from ragopt.providers.capabilities import Capabilities, capabilities_of
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.extractive import ExtractiveProvider
from ragopt.providers.health import BreakerRules
from ragopt.providers.keys import ApiKey, KeyFile
from ragopt.providers.meter import Meter
from ragopt.providers.openai import OpenAIProvider
from ragopt.providers.protocol import Provider
from ragopt.stages.afford import GenerateWithinBudget
from ragopt.stages.cache import NoCache, RedisAnswerCache
from ragopt.stages.cite import CitationChecker
from ragopt.stages.generate import GenerateWithFallback
from ragopt.stages.pack import Packer
from ragopt.stages.rerank.choice import LATE_INTERACTION, chosen_model, is_served
from ragopt.stages.rerank.cross_encoder import LocalCrossEncoder
from ragopt.stages.rerank.judging import CrossEncoderReranker, Judge
from ragopt.stages.rerank.late_interaction import rerank
from ragopt.stages.rerank.served import ServedCrossEncoder
from ragopt.stages.retrieve import HybridRetriever
from ragopt.stages.rewrite import rewrite
from ragopt.stages.route.difficulty import shipped_difficulty
from ragopt.stages.route.gate import QualityGate
from ragopt.stages.route.plan import RoutePlanner
from ragopt.state.access import ping_redis
from ragopt.state.accounts import Accounts, accounts_over
from ragopt.state.conversations import Conversations
from ragopt.state.idempotency import Idempotency
from ragopt.state.jobs import Jobs
from ragopt.state.keys import KeyStore
from ragopt.state.locks import commit_lock_for
from ragopt.state.redis_server import EmbeddedRedis, connect
from ragopt.tokens import count_tokens, count_tokens_batch

CACHE_TIMEOUT_S = 0.05
STATE_TIMEOUT_S = 0.5
QDRANT_TIMEOUT_S = 10.0
BUILTIN_TIMEOUT_S = 30.0
# They change who answers when, never what is answered.
LOAD_FIELDS = {"rpm", "tpm", "max_concurrent", "group"}
QUOTED = "answering from the passages"
INDEX_FOLDER, REDIS_FOLDER = "index", "redis"


@dataclass(frozen=True, slots=True)
class Service:
    """A running service: what the HTTP layer and the command line drive."""

    settings: Settings
    library: Library
    pipeline: Pipeline
    keys: KeyStore
    conversations: Conversations
    jobs: Jobs
    idempotency: Idempotency
    accounts: Accounts
    ping_state: Callable[[], Awaitable[None]]

    async def readiness(self) -> dict[str, str]:
        """Return `ok` or `down` per dependency; the embedder is loaded before a service exists."""
        index, redis = await asyncio.gather(health(self.library.ping()), health(self.ping_state()))
        return {"index": index, "redis": redis, "embedder": "ok"}


@asynccontextmanager
async def open_service(settings: Settings) -> AsyncIterator[Service]:
    """Yield a service with everything started; stops it in reverse order.

    Raises: `ConfigError`, `StoreLocked`, `ModelUnavailable`, `StoreUnavailable`, `StateUnavailable`.
    """
    async with AsyncExitStack() as stack:
        redis_url, embedder, judge, *_ = await asyncio.gather(
            redis_address(settings, stack),
            loaded_embedder(settings, stack),
            loaded_judge(settings, stack),
            asyncio.to_thread(count_tokens, ""),
            # The price table: its first use would hold up an answer.
            asyncio.to_thread(table_version),
        )
        redis = connect(redis_url, timeout_s=STATE_TIMEOUT_S)
        stack.push_async_callback(redis.aclose)
        # Embedded, one process owns the index; a shared index needs its writers serialised across processes.
        lock_for = commit_lock_for(redis) if settings.qdrant_url else None
        library = await opened_library(settings, stack, embedder=embedder, lock_for=lock_for)
        reranked_by = judge.tag if judge else LATE_INTERACTION
        scope = f"{PROMPT_VERSION}/{embedder.tag}/{reranked_by}/{answering_digest(settings)}"
        cache = opened_cache(redis_url, stack, ttl_s=settings.cache_ttl_s, scope=scope)
        deployments = deployments_of(settings.models)
        for deployment in deployments:
            stack.push_async_callback(deployment.provider.close)
        accounts = accounts_over(redis, settings)
        stack.push_async_callback(accounts.close)
        yield Service(
            settings=settings,
            library=library,
            pipeline=pipeline_over(
                library,
                embedder,
                judge=judge,
                settings=settings,
                cache=cache,
                deployments=deployments,
                prices=accounts.prices,
                meter=accounts.meter,
            ),
            keys=KeyStore(redis, bootstrap=settings.api_key),
            conversations=Conversations(redis, ttl_s=settings.conversation_ttl_s),
            jobs=Jobs(redis),
            idempotency=Idempotency(redis),
            accounts=accounts,
            ping_state=partial(ping_redis, redis),
        )


@asynccontextmanager
async def open_library(settings: Settings) -> AsyncIterator[tuple[Library, Pipeline]]:
    """Yield library and pipeline alone, for evaluation and the CLI: no Redis, no cache, no configured model."""
    async with AsyncExitStack() as stack:
        embedder = await loaded_embedder(settings, stack)
        judge = await loaded_judge(settings, stack)
        library = await opened_library(settings, stack, embedder=embedder)
        yield library, pipeline_over(library, embedder, judge=judge, settings=settings, cache=NoCache(), deployments=())


def pipeline_over(
    library: Library,
    embedder: Embedder,
    *,
    judge: Judge | None,
    settings: Settings,
    cache: AnswerCache,
    deployments: Sequence[Deployment],
    prices: Prices | None = None,
    meter: Meter | None = None,
) -> Pipeline:
    """Return the pipeline with its stages in place; prices: those of the meter, so that each unknown is told once."""
    known = prices or Prices()
    builtin = deployment_of(ModelSettings(name="extractive", provider="extractive", timeout_s=BUILTIN_TIMEOUT_S))
    caller = caller_of(settings.resilience, prices=known, meter=meter)
    answers = partial(GenerateWithFallback, caller=caller, max_output_tokens=settings.max_output_tokens)
    plan = RoutePlanner(
        deployments,
        builtin,
        settings=settings.routing,
        rules=settings.routes,
        difficulty=shipped_difficulty(),
        gate=QualityGate(),
        embedder=embedder.tag,
    )
    return Pipeline(
        rewrite=rewrite,
        embed=embedder.encode_question,
        generation=library.generation,
        cache=cache,
        retrieve=HybridRetriever(library),
        rerank=CrossEncoderReranker(judge, count_tokens=count_tokens) if judge else rerank,
        pack=Packer(count_tokens),
        count_tokens=count_tokens,
        prompt=build_prompt,
        generate=GenerateWithinBudget(answers(plan), answers(lambda _: Plan((builtin,), QUOTED)), deployments),
        cite=CitationChecker,
        savings=SavingsCounter(settings.baseline, deployments, prices=known, document_tokens=library.document_tokens),
    )


def caller_of(resilience: ResilienceSettings, *, prices: Prices, meter: Meter | None) -> ModelCaller:
    """Return what every model call passes through; without a meter no budget bounds it."""
    return ModelCaller(
        prices,
        meter=meter,
        retries=RetryRules(attempts=resilience.attempts, share=resilience.retry_share),
        breaker=BreakerRules(
            share=resilience.breaker_share, calls=resilience.breaker_calls, window_s=resilience.breaker_window_s
        ),
    )


def deployments_of(models: Sequence[ModelSettings]) -> list[Deployment]:
    """Return the configured models in their order; those with one address and key share one pool of connections.

    Raises: `ConfigError` for a key that cannot be found or an effort that a model does not take.
    """
    providers: dict[tuple[object, ...], Provider] = {}
    made: list[Deployment] = []
    for model in models:
        place = (model.provider, model.resolved_base_url(), model.api_key_file or model.resolved_api_key())
        made.append(deployment_of(model, provider=providers.get(place)))
        providers[place] = made[-1].provider
    return made


def deployment_of(model: ModelSettings, *, provider: Provider | None = None) -> Deployment:
    """Return a configured model with its provider, a new one unless given.

    Raises: `ConfigError` if its key cannot be found or it does not take its effort.
    """
    name = model.model or model.name
    return Deployment(
        name=model.name,
        provider=provider or provider_of(model, key=api_key_of(model)),
        model=name,
        tier=model.tier,
        timeout_s=model.timeout_s,
        price=model.price,
        capabilities=checked_capabilities(model, name=name),
        effort=model.effort,
        rpm=model.rpm,
        tpm=model.tpm,
        max_concurrent=model.max_concurrent,
        group=model.group,
        base_url=model.resolved_base_url(),
    )


def api_key_of(model: ModelSettings) -> ApiKey:
    """Return the model's key, or the file it is read from for every call. Raises: `ConfigError` if there is none."""
    key = model.resolved_api_key()
    return KeyFile(model.api_key_file) if model.api_key_file and model.provider != "extractive" else key


def checked_capabilities(model: ModelSettings, *, name: str) -> Capabilities:
    """Return what the model takes. Raises: `ConfigError` if it is known not to take its effort."""
    capabilities = capabilities_of(model.provider, name)
    if model.effort and capabilities.efforts is not None and model.effort not in capabilities.efforts:
        taken = ", ".join(capabilities.efforts) or "no effort"
        raise ConfigError(f"models.{model.name}.effort: {name} takes {taken}, not {model.effort}")
    return replace(capabilities, streaming=model.streaming)


def answering_digest(settings: Settings) -> str:
    """Return 16 hex digits that change with the models that answer and with what they may write."""
    models = [model.model_dump(mode="json", exclude=LOAD_FIELDS) for model in settings.models]
    models += [rule.model_dump(mode="json") for rule in (*settings.routes, settings.routing)]
    canonical = json.dumps([models, settings.max_output_tokens], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def provider_of(model: ModelSettings, *, key: ApiKey) -> Provider:
    """Return the adapter of a model's dialect; it connects with its first call."""
    if model.provider == "openai":
        return OpenAIProvider(key, model.resolved_base_url())
    if model.provider == "anthropic":
        return AnthropicProvider(key, model.resolved_base_url())
    return ExtractiveProvider()


async def redis_address(settings: Settings, stack: AsyncExitStack) -> str:
    """Return the URL of the configured Redis, else of the embedded one, attached until the stack closes."""
    if settings.redis_url:
        return settings.redis_url
    folder = settings.data_dir / REDIS_FOLDER
    embedded = await asyncio.to_thread(EmbeddedRedis.attach, folder, runtime_dir=runtime_dir())
    stack.push_async_callback(asyncio.to_thread, embedded.stop)
    return embedded.url


def opened_cache(redis_url: str, stack: AsyncExitStack, *, ttl_s: int, scope: str) -> AnswerCache:
    """Return the answer cache over a client of its own, closed with the stack; one that keeps nothing for `ttl_s` 0."""
    if not ttl_s:
        return NoCache()
    redis = connect(redis_url, timeout_s=CACHE_TIMEOUT_S)
    stack.push_async_callback(redis.aclose)
    return RedisAnswerCache(redis, ttl_s=ttl_s, scope=scope)


async def loaded_embedder(settings: Settings, stack: AsyncExitStack) -> Embedder:
    """Return the embedding model, closed with the stack."""
    embedder = await asyncio.to_thread(Embedder.load, settings.embedding_model, cache_folder=cache_dir())
    stack.push_async_callback(asyncio.to_thread, embedder.close)
    return embedder


async def loaded_judge(settings: Settings, stack: AsyncExitStack) -> Judge | None:
    """Return the cross-encoder that judges after late interaction, closed with the stack; None if there is none."""
    model = chosen_model(settings.rerank_model, hub_cache_dir())
    if model == LATE_INTERACTION:
        return None
    judge: Judge
    if is_served(model):
        judge = ServedCrossEncoder(model, settings.rerank_api_key)
    else:
        judge = await asyncio.to_thread(LocalCrossEncoder.load, model, cache_folder=cache_dir())
    stack.push_async_callback(judge.close)
    return judge


async def opened_library(
    settings: Settings, stack: AsyncExitStack, *, embedder: Embedder, lock_for: LockFor | None = None
) -> Library:
    """Return the library over the configured engine, closed with the stack."""
    engine: Engine
    if settings.qdrant_url:
        engine = QdrantEngine(settings.qdrant_url, settings.qdrant_api_key, timeout_s=QDRANT_TIMEOUT_S)
    else:
        engine = EdgeEngine(settings.data_dir / INDEX_FOLDER)
    stack.push_async_callback(engine.close)
    library = Library(
        engine,
        embedder,
        knobs=IndexKnobs(chunk_tokens=settings.chunk_tokens),
        count_tokens=count_tokens_batch,
        max_document_bytes=settings.max_document_bytes,
        lock_for=lock_for,
    )
    stack.push_async_callback(library.close)
    return library


async def health(ping: Awaitable[None]) -> str:
    """Return `ok` if the dependency answers, else `down`."""
    try:
        await ping
    except (IndexingError, RagoptError):
        return "down"
    return "ok"
