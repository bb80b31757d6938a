"""What a service stands on, opened and closed with a stack: Redis, the index, the local models."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

from indexes.edge import EdgeEngine
from indexes.embedding import Embedder
from indexes.endpoint import is_served
from indexes.errors import ModelUnavailable
from indexes.library import Library, LockFor
from indexes.qdrant import QdrantEngine
from indexes.records import IndexKnobs
from indexes.served_embedding import ServedEmbedder
from indexes.store import Engine
from ragopt.config import Settings, cache_dir, hub_cache_dir, runtime_dir
from ragopt.injection.detector import InjectionDetector
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.stages.cache.protocol import SameQuestion
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.rerank.choice import LATE_INTERACTION, chosen_model
from ragopt.stages.rerank.cross_encoder import LocalCrossEncoder
from ragopt.stages.rerank.judging import Judge
from ragopt.stages.rerank.served import ServedCrossEncoder
from ragopt.stages.screen.documents import DocumentScreen
from ragopt.state.redis_server import EmbeddedRedis, keep_alive
from ragopt.tokens import count_tokens_batch

QDRANT_TIMEOUT_S = 10.0
INDEX_FOLDER, REDIS_FOLDER = "index", "redis"

AnyEmbedder: TypeAlias = Embedder | ServedEmbedder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocalModels:
    """The models beside those that answer: what embeds, what judges hits, cached questions and claims; None if none.

    recognisers: what finds personal data, with a model or without.
    """

    embedder: AnyEmbedder
    reranker: Judge | None
    verifier: SameQuestion | None
    claims: ClaimJudge
    recognisers: Recognisers = OWN


async def redis_address(settings: Settings, stack: AsyncExitStack) -> str:
    """Return the URL of the configured Redis, else of the embedded one, attached until the stack closes."""
    if settings.redis_url:
        return settings.redis_url
    folder = settings.data_dir / REDIS_FOLDER
    embedded = await asyncio.to_thread(EmbeddedRedis.attach, folder, runtime_dir=runtime_dir())
    stack.push_async_callback(asyncio.to_thread, embedded.stop)
    await stack.enter_async_context(watched(embedded))
    return embedded.url


@asynccontextmanager
async def watched(server: EmbeddedRedis) -> AsyncIterator[None]:
    """Keep the server alive for the block."""
    watcher = asyncio.create_task(keep_alive(server))
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


async def loaded_embedder(settings: Settings, stack: AsyncExitStack) -> AnyEmbedder:
    """Return the embedding model, here or served, closed with the stack. Raises: `ModelUnavailable`."""
    if is_served(settings.embedding_model):
        served = await ServedEmbedder.load(settings.embedding_model, settings.embedding_api_key)
        stack.push_async_callback(served.close)
        return served
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


async def loaded_claim_judge(stack: AsyncExitStack) -> ClaimJudge:
    """Return the judge of claims, closed with the stack; where its model cannot run, the one that needs none."""
    try:
        judge = await asyncio.to_thread(ClaimJudge.load, cache_folder=cache_dir())
    except ModelUnavailable as error:
        logger.warning("claims are judged without a model: %s", error.detail)
        return ClaimJudge.lexical()
    stack.push_async_callback(judge.close)
    return judge


async def opened_library(
    settings: Settings, stack: AsyncExitStack, *, models: LocalModels, lock_for: LockFor | None = None
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
        models.embedder,
        knobs=IndexKnobs(chunk_tokens=settings.chunk_tokens),
        count_tokens=count_tokens_batch,
        max_document_bytes=settings.max_document_bytes,
        lock_for=lock_for,
        admit=DocumentScreen(
            settings.collections,
            InjectionDetector.shipped(models.embedder),
            most_chars=settings.max_document_bytes,
            recognisers=models.recognisers,
        ),
    )
    stack.push_async_callback(library.close)
    return library
