"""The response cache over its own Redis client and its own index of questions."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack

from indexes.edge import EdgeEngine
from indexes.errors import ModelUnavailable
from indexes.library import Library
from indexes.qdrant import QdrantEngine
from indexes.store import Engine
from ragopt.config import Settings, cache_dir
from ragopt.prompt import VERSION as PROMPT_VERSION
from ragopt.settings.routing import RouteSettings
from ragopt.stages.cache.acceptance import calibrate
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.entries import EntryLimits, RedisEntries
from ragopt.stages.cache.key import Keys
from ragopt.stages.cache.learning import Learning
from ragopt.stages.cache.levels import Levels
from ragopt.stages.cache.off import NoCache
from ragopt.stages.cache.protocol import SameQuestion
from ragopt.stages.cache.questions import QuestionIndex
from ragopt.stages.cache.similar import SimilarQuestions
from ragopt.stages.cache.verifier import Verifier
from ragopt.stages.rerank.choice import LATE_INTERACTION
from ragopt.state.client import connect
from ragopt.state.labels import Labels
from ragopt.wiring.engines import AnyEmbedder, LocalModels
from ragopt.wiring.models import answering_digest

# Of the client: how long a request waits is for the guard to say, and an answer may be kept after the request.
CACHE_TIMEOUT_S = 1.0
STATE_TIMEOUT_S = 0.5
QDRANT_TIMEOUT_S = 1.0
QUESTIONS_FOLDER = "cache"
# Seconds between two looks at what is kept of other words, in collections that serve none of it yet.
LOOK_GAP_S = 0.5
# An open shard holds 34 MB of page cache.
MAX_OPEN = 16

logger = logging.getLogger(__name__)


async def loaded_verifier(settings: Settings, stack: AsyncExitStack) -> Verifier | None:
    """Return the verifier that ships, closed with the stack; None where nothing asks for it or it cannot run.

    Then exact hits are served, and the log says why no others are.
    """
    if not settings.cache.ttl_s or not settings.cache.semantic:
        return None
    try:
        verifier = await asyncio.to_thread(Verifier.load, cache_folder=cache_dir())
    except ModelUnavailable as error:
        logger.warning("questions in other words are not answered from the cache: %s", error.detail)
        return None
    stack.push_async_callback(verifier.close)
    return verifier


async def opened_cache(
    settings: Settings,
    stack: AsyncExitStack,
    *,
    redis_url: str,
    library: Library,
    models: LocalModels,
) -> ResponseCache | NoCache:
    """Return the response cache, closed with the stack; one that keeps nothing where `ttl_s` is 0.

    Without a verifier only the same words are served.
    """
    if not settings.cache.ttl_s:
        return NoCache()
    redis = connect(redis_url, timeout_s=CACHE_TIMEOUT_S)
    stack.push_async_callback(redis.aclose)
    similar = None
    if models.verifier is not None and settings.cache.semantic:
        similar = opened_similar(
            settings, stack, redis_url=redis_url, embedder=models.embedder, verifier=models.verifier
        )
    limits = EntryLimits(
        ttl_s=settings.cache.ttl_s, entries=settings.cache.entries, entry_bytes=settings.cache.entry_bytes
    )
    entries = RedisEntries(redis, limits=limits)
    await entries.warm()
    cache = ResponseCache(
        Keys(scope_of(settings, models), labels_in(settings.routes)),
        entries,
        library,
        models.embedder.encode_question,
        similar=similar,
        shadow_share=settings.cache.shadow_share,
        learning=Learning(gap_s=LOOK_GAP_S),
    )
    stack.push_async_callback(cache.close)
    return cache


def opened_similar(
    settings: Settings, stack: AsyncExitStack, *, redis_url: str, embedder: AnyEmbedder, verifier: SameQuestion
) -> SimilarQuestions:
    """Return what finds questions in other words, over an index of its own that is closed with the stack."""
    engine: Engine
    if settings.qdrant_url:
        engine = QdrantEngine(settings.qdrant_url, settings.qdrant_api_key, timeout_s=QDRANT_TIMEOUT_S)
    else:
        engine = EdgeEngine(settings.data_dir / QUESTIONS_FOLDER, max_open=MAX_OPEN)
    stack.push_async_callback(engine.close)
    redis = connect(redis_url, timeout_s=STATE_TIMEOUT_S)
    stack.push_async_callback(redis.aclose)
    index = QuestionIndex(engine, dim=embedder.dim, tag=embedder.tag)
    levels = Levels(Labels(redis), calibrate, judge=verifier.tag, max_wrong=settings.cache.max_wrong)
    return SimilarQuestions.over(index, verifier, levels)


def scope_of(settings: Settings, models: LocalModels) -> str:
    """Return what no question names and what decides its answer: prompt, models, and every setting that may."""
    reranked_by = models.reranker.tag if models.reranker else LATE_INTERACTION
    return f"{PROMPT_VERSION}/{models.embedder.tag}/{reranked_by}/{answering_digest(settings)}"


def labels_in(routes: tuple[RouteSettings, ...]) -> frozenset[str]:
    """Return the labels that a routing rule asks for: they decide which model answers."""
    return frozenset(name for rule in routes for name in rule.when.labels())
