"""The cross-encoder in this process: a queue of its own, and what its model does wrong."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from indexes.classifier import Logits, TorchClassifier, classifier_files
from indexes.compiled import IdMatrix
from indexes.errors import ModelUnavailable
from ragopt.stages.rerank.choice import SETTING
from ragopt.stages.rerank.cross_encoder import LocalCrossEncoder


@dataclass
class Lengths:
    """A classifier that scores a pair by its tokens, once it may; it keeps the sizes of its batches."""

    may_go: threading.Event = field(default_factory=threading.Event)
    sizes: list[int] = field(default_factory=list)
    logit: Callable[[int], float] = float
    engine: str = "test"

    def logits(self, ids: IdMatrix, mask: IdMatrix, types: IdMatrix) -> Logits:
        """Return the number of tokens of each pair."""
        self.may_go.wait(60)
        self.sizes.append(len(ids))
        return np.array([self.logit(int(count)) for count in mask.sum(axis=1)], np.float32)


def judge_over(cross_encoder: Path, forward: Lengths | TorchClassifier) -> LocalCrossEncoder:
    """Return a judge with the small model's tokenizer."""
    return LocalCrossEncoder(classifier_files(str(cross_encoder), setting=SETTING), forward)


def test_a_text_that_is_judged_alone_has_the_score_it_has_among_others(cross_encoder: Path) -> None:
    """Scores come in the order of the texts."""
    texts = ["The late fee is eight dollars.", "Cats sleep.", "Refunds take ten days, or more."]

    async def run() -> tuple[list[float], list[float]]:
        judge = judge_over(cross_encoder, TorchClassifier(cross_encoder))
        together = list(await judge.scores("late fee?", texts))
        alone = [(await judge.scores("late fee?", [text]))[0] for text in texts]
        await judge.close()
        return together, alone

    together, alone = asyncio.run(run())
    assert together == pytest.approx(alone, abs=1e-4)
    assert len(set(together)) == 3


def test_questions_take_turns(cross_encoder: Path) -> None:
    """Two questions with two batches each: neither has its second before the other has its first."""
    forward = Lengths()

    async def question(judge: LocalCrossEncoder, size: int) -> None:
        for _ in range(2):
            await judge.scores("q", ["text"] * size)

    async def run() -> None:
        judge = judge_over(cross_encoder, forward)
        both = [asyncio.create_task(question(judge, size)) for size in (1, 2)]
        await asyncio.sleep(0)
        forward.may_go.set()
        await asyncio.gather(*both)
        await judge.close()

    asyncio.run(run())
    assert forward.sizes == [1, 2, 1, 2]


def test_a_batch_nobody_waits_for_is_not_judged(cross_encoder: Path) -> None:
    """What is cancelled while it waits in the queue is dropped; what runs is finished."""
    forward = Lengths()

    async def run() -> None:
        judge = judge_over(cross_encoder, forward)
        running = asyncio.create_task(judge.scores("q", ["text"]))
        waiting = asyncio.create_task(judge.scores("q", ["text"] * 3))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        forward.may_go.set()
        await running
        await judge.close()

    asyncio.run(run())
    assert forward.sizes == [1]


def broken(count: int) -> float:
    """Fail as OpenVINO does."""
    raise RuntimeError("out of memory")


@pytest.mark.parametrize(("logit", "said"), [(broken, "out of memory"), (lambda _: float("nan"), "not a number")])
def test_a_model_that_fails_says_so(cross_encoder: Path, logit: Callable[[int], float], said: str) -> None:
    """What the runtime raises, and scores that cannot be ordered, are errors of ours that name the setting."""
    forward = Lengths(logit=logit)
    forward.may_go.set()
    judge = judge_over(cross_encoder, forward)
    with pytest.raises(ModelUnavailable, match=f"RAGOPT_RERANK_MODEL: .*{said}"):
        asyncio.run(judge.scores("q", ["text"]))
    asyncio.run(judge.close())
