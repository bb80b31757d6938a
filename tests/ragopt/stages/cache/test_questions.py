"""The index of kept questions: near ones of one tenant, collection and partition, and no others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from indexes.edge import EdgeEngine
from indexes.qdrant import QdrantEngine
from ragopt.stages.cache.entries import Place
from ragopt.stages.cache.key import EntryKey
from ragopt.stages.cache.questions import QuestionIndex
from tests.fakes import FAKE_DIM, WordEncoder

KEY = EntryKey("acme", "c", "p", "what is the late fee")
OTHERS = [
    replace(KEY, tenant="other"),
    replace(KEY, collection="d"),
    replace(KEY, partition="q"),
    replace(KEY, tenant="acme/c", collection=""),
]


def on_edge(folder: Path, check: Callable[[QuestionIndex], Awaitable[None]], *, tag: str = "words") -> None:
    async def run() -> None:
        engine = EdgeEngine(folder)
        index = QuestionIndex(engine, dim=FAKE_DIM, tag=tag)
        try:
            await check(index)
        finally:
            await index.close()
            await engine.close()

    asyncio.run(run())


async def add(index: QuestionIndex, key: EntryKey) -> None:
    await index.add(key, (await WordEncoder().encode_question(key.question)).dense)


async def nearest(index: QuestionIndex, key: EntryKey, *, limit: int = 4, at_least: float = 0.5) -> list[Place]:
    vector = (await WordEncoder().encode_question(key.question)).dense
    return [near.place for near in await index.nearest(key, vector, limit=limit, at_least=at_least)]


def test_near_questions_of_the_same_partition_are_found(tmp_path: Path) -> None:
    """Nearest first, not the question itself, none that is too far, at most so many."""

    async def check(index: QuestionIndex) -> None:
        kept = [
            replace(KEY, question=text)
            for text in ("what is the late fee now", "what is the late fee or fine now", "cats")
        ]
        for key in (KEY, *kept):
            await add(index, key)
        assert await nearest(index, KEY) == [Place.of(kept[0]), Place.of(kept[1])]
        assert await nearest(index, KEY, limit=1) == [Place.of(kept[0])]
        assert await nearest(index, KEY, at_least=0.99) == []

    on_edge(tmp_path, check)


def test_the_same_words_of_anybody_else_are_not_found(tmp_path: Path) -> None:
    """Another tenant, collection or partition, at a similarity of 1."""

    async def check(index: QuestionIndex) -> None:
        for key in OTHERS:
            await add(index, key)
        assert await nearest(index, KEY) == []

    on_edge(tmp_path, check)


def test_questions_are_forgotten_with_their_entries(tmp_path: Path) -> None:
    """By place, and of a whole collection or tenant; a restart changes nothing."""

    async def fill(index: QuestionIndex) -> None:
        for key in (KEY, *OTHERS):
            await add(index, replace(key, question=f"{key.question} now"))

    async def check(index: QuestionIndex) -> None:
        near = [len(await nearest(index, key)) for key in (KEY, *OTHERS)]
        assert near == [1] * 5
        await index.remove([Place.of(replace(KEY, question=f"{KEY.question} now")), Place("nobody", "c", KEY.id)])
        assert [len(await nearest(index, key)) for key in (KEY, *OTHERS)] == [0, 1, 1, 1, 1]
        await index.clear("acme", "c")
        assert [len(await nearest(index, key)) for key in OTHERS] == [1, 1, 0, 1]
        await index.clear("acme", None)
        assert [len(await nearest(index, key)) for key in OTHERS] == [1, 0, 0, 1]

    on_edge(tmp_path, fill)
    on_edge(tmp_path, check)


def test_vectors_of_another_model_are_never_compared(tmp_path: Path) -> None:
    """Each has a store of its own, beside the documents' on one server."""

    async def fill(index: QuestionIndex) -> None:
        await add(index, replace(KEY, question=f"{KEY.question} now"))

    async def check(index: QuestionIndex) -> None:
        assert await nearest(index, KEY) == []

    on_edge(tmp_path, fill)
    on_edge(tmp_path, check, tag="other words")


def test_it_works_with_the_server_engine_too() -> None:
    """The same calls over Qdrant's own client."""

    async def run() -> None:
        engine = QdrantEngine.local()
        index = QuestionIndex(engine, dim=FAKE_DIM, tag="words")
        await add(index, replace(KEY, question=f"{KEY.question} now"))
        assert len(await nearest(index, KEY)) == 1
        await index.clear("acme", None)
        assert await nearest(index, KEY) == []
        await engine.close()

    asyncio.run(run())
