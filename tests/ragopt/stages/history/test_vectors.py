"""Vectors of turns: made once, and never waited for long."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from indexes.records import Encoded
from ragopt.stages.history.vectors import TurnVectors
from tests.fakes import WordEncoder


def test_a_text_is_encoded_once() -> None:
    """The second question about a turn encodes nothing; an empty turn has no vector."""

    async def scenario() -> None:
        encoder = WordEncoder()
        vectors = TurnVectors(encoder.encode, wait_s=None)
        first = await vectors.of(["one", " ", "two", "one"])
        again = await vectors.of(["two", "one"])
        assert sorted(encoder.encoded) == ["one", "two"]
        assert [item is None for item in first] == [False, True, False, False]
        for one, other in zip(again, (first[2], first[0]), strict=True):
            np.testing.assert_array_equal(one, other)

    asyncio.run(scenario())


def test_the_newest_come_first_where_there_are_many() -> None:
    """Of a long history that nobody saw before, the last turns are encoded now, older ones with later questions."""

    async def scenario() -> None:
        vectors = TurnVectors(WordEncoder().encode, wait_s=None, most_fresh=2)
        texts = ["a", "b", "c", "d"]
        assert [item is not None for item in await vectors.of(texts)] == [False, False, True, True]
        assert [item is not None for item in await vectors.of(texts)] == [True] * 4

    asyncio.run(scenario())


def test_a_busy_encoder_is_not_waited_for() -> None:
    """While it is busy there are no vectors; once it was through they are there."""

    async def scenario() -> None:
        gate, encoder = asyncio.Event(), WordEncoder()

        async def slow(texts: Sequence[str]) -> list[Encoded]:
            await gate.wait()
            return await encoder.encode(texts)

        vectors = TurnVectors(slow, wait_s=0.001)
        assert await vectors.of(["one"]) == [None]
        gate.set()
        while (await vectors.of(["one"]))[0] is None:
            await asyncio.sleep(0)

    asyncio.run(scenario())


def test_a_failing_encoder_costs_the_vectors_only() -> None:
    """No error comes through."""

    async def broken(texts: Sequence[str]) -> list[Encoded]:
        raise RuntimeError(f"no vectors for {len(texts)}")

    assert asyncio.run(TurnVectors(broken).of(["one"])) == [None]


def test_questions_that_come_while_a_text_is_made_do_not_have_it_made_again() -> None:
    """A busy encoder gets each text once, in batches, and what the first batch brought is there before the rest."""

    async def scenario() -> None:
        gate, encoder, calls = asyncio.Event(), WordEncoder(), 0

        async def one_batch_then_wait(texts: Sequence[str]) -> list[Encoded]:
            nonlocal calls
            calls += 1
            if calls > 1:
                await gate.wait()
            return await encoder.encode(texts)

        vectors, texts = TurnVectors(one_batch_then_wait, wait_s=0.01), [f"turn {at}" for at in range(20)]
        for _ in range(3):
            found = await vectors.of(texts)
        assert [vector is not None for vector in found] == [False] * 12 + [True] * 8
        gate.set()
        while None in [vector if vector is None else 0 for vector in await vectors.of(texts)]:
            await asyncio.sleep(0)
        assert sorted(encoder.encoded) == sorted(texts)

    asyncio.run(scenario())
