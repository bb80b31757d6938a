"""A response cache over real engines, for measurements: Edge, an embedded Redis, and the path of a question."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from eval.bench.index import library_over
from indexes.edge import EdgeEngine
from indexes.ingest import TextEncoder
from indexes.library import Library
from ragopt.config import load_settings, runtime_dir
from ragopt.domain import Answer, Question
from ragopt.events import Finished
from ragopt.pipeline import Pipeline
from ragopt.stages.cache.answer_cache import ResponseCache
from ragopt.stages.cache.entries import EntryLimits, RedisEntries
from ragopt.stages.cache.key import Keys
from ragopt.stages.cache.levels import Levels
from ragopt.stages.cache.protocol import Calibrate, SameQuestion
from ragopt.stages.cache.questions import QuestionIndex
from ragopt.stages.cache.similar import SimilarQuestions
from ragopt.state.client import connect
from ragopt.state.labels import Labels
from ragopt.state.redis_server import EmbeddedRedis
from ragopt.telemetry import Trace
from ragopt.wiring.path import pipeline_over

TENANT, COLLECTION = "acme", "default"
# A machine that is measured may stall for longer than a service may wait.
PATIENCE_S = 30.0
SCOPE = "measured"


@dataclass(frozen=True, slots=True)
class Judged:
    """Who judges whether two questions ask the same, and from which score on their answers are served."""

    judge: SameQuestion
    calibrate: Calibrate


@dataclass(frozen=True, slots=True)
class World:
    """Documents, a cache and the path over both; the built-in provider answers. server: where the answers are kept."""

    library: Library
    cache: ResponseCache
    pipeline: Pipeline
    encoder: TextEncoder
    server: EmbeddedRedis

    async def asked(self, question: Question, *, trace: Trace | None = None) -> Answer:
        """Return the answer to a question."""
        trace = trace or Trace("measured")
        async with aclosing(self.pipeline.answer(question, trace=trace)) as events:
            found = [event.answer async for event in events if isinstance(event, Finished)]
        return found[0]


@asynccontextmanager
async def opened_world(
    folder: Path, encoder: TextEncoder, *, limits: EntryLimits, judged: Judged | None = None
) -> AsyncIterator[World]:
    """Yield a world whose files lie in `folder`, without shadow checks; other words are served where `judged` says."""
    async with AsyncExitStack() as stack:
        server = EmbeddedRedis.attach(folder / "redis", runtime_dir=runtime_dir())
        stack.callback(server.stop)
        redis = connect(server.url, timeout_s=PATIENCE_S)
        stack.push_async_callback(redis.aclose)
        documents, questions = EdgeEngine(folder / "index"), EdgeEngine(folder / "cache")
        stack.push_async_callback(documents.close)
        stack.push_async_callback(questions.close)
        library = library_over(documents, encoder)
        stack.push_async_callback(library.close)
        similar = None
        if judged is not None:
            index = QuestionIndex(questions, dim=encoder.dim, tag=encoder.tag)
            levels = Levels(Labels(redis), judged.calibrate, judge=judged.judge.tag, max_wrong=1.0)
            await levels.refresh(TENANT, COLLECTION)
            similar = SimilarQuestions.over(index, judged.judge, levels, timeout_s=PATIENCE_S)
        entries = RedisEntries(redis, limits=limits)
        embed = encoder.encode_question
        cache = ResponseCache(Keys(SCOPE), entries, library, embed, similar=similar, shadow_share=0)
        stack.push_async_callback(cache.close)
        pipeline = pipeline_over(library, encoder, judge=None, settings=load_settings(), cache=cache, deployments=())
        yield World(library, cache, pipeline, encoder, server)
