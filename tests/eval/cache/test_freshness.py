"""The run of random operations notices what must not happen."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from eval.cache.freshness import Churn, Given
from eval.cache.world import PATIENCE_S, World, opened_world
from ragopt.domain import Question
from ragopt.stages.cache.entries import EntryLimits
from tests.fakes import WordEncoder

QUESTION = Question("What is the fee of the barge?", "acme")


def test_a_stale_hit_is_noticed(tmp_path: Path) -> None:
    """An answer over a source that changed, one that something newer belongs to, and one that nobody gave."""

    async def run() -> None:
        async with opened_world(tmp_path, WordEncoder(), limits=EntryLimits(timeout_s=PATIENCE_S)) as world:
            await check(world)

    async def check(world: World) -> None:
        churn = Churn(world, random.Random(0), now=1)
        await churn.write("barges", ["The fee of the barge is 8."])
        answer = await world.asked(QUESTION)
        given = Given(answer, at=1, asked_at=1)
        assert (answer.cache.status, (await world.asked(QUESTION)).cache.status) == ("miss", "hit")
        assert await churn.staleness(QUESTION, given) == ""
        churn.now = 2
        await churn.write("more barges", ["The fee of the barge is 9."])
        assert "came later" in await churn.staleness(QUESTION, given)
        await churn.write("barges", ["The fee of the barge is 10."])
        assert "changed" in await churn.staleness(QUESTION, given)
        await churn.judge_hit(QUESTION, given)
        await churn.judge_hit(QUESTION, None)
        assert len(churn.tally.stale) == 2

    asyncio.run(run())
