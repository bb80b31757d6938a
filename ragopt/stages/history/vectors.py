"""Vectors of turns, made once per text and kept in this process."""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from indexes.records import Encoded, FloatVector

# 384 float16 numbers each, by a digest of their text: about 10 MB.
MAX_KEPT = 10_000
# Eight batches: what a first long history may ask of the encoder for one question.
MAX_FRESH = 64
BATCH_TEXTS = 8
WAIT_S = 0.15
MAX_TURN_CHARS = 2_000


class Encode(Protocol):
    """Texts to vectors."""

    async def __call__(self, texts: Sequence[str]) -> list[Encoded]:
        """Return one `Encoded` per text, in order."""


class TurnVectors:
    """The vectors of the latest texts that were asked for.

    A question never waits long for them: what is not there in time, or is more than `most_fresh`, is None now and
    there for a later question. No text is made twice at a time.
    """

    def __init__(self, encode: Encode, *, wait_s: float | None = WAIT_S, most_fresh: int = MAX_FRESH) -> None:
        self._encode = encode
        self._wait_s = wait_s
        self._most_fresh = most_fresh
        self._kept: OrderedDict[bytes, FloatVector] = OrderedDict()
        self._making: set[str] = set()
        self._running: set[asyncio.Task[None]] = set()

    async def of(self, texts: Sequence[str]) -> list[FloatVector | None]:
        """Return the vector of each text, float32, unit length, None where it is not known yet; the last go first."""
        heads = [text[:MAX_TURN_CHARS] for text in texts]
        missing = list(
            dict.fromkeys(head for head in reversed(heads) if head.strip() and name_of(head) not in self._kept)
        )
        wanted = [head for head in missing[: self._most_fresh] if head not in self._making]
        if wanted:
            self._making.update(wanted)
            task = asyncio.create_task(self._make(wanted))
            self._running.add(task)
            task.add_done_callback(self._done)
        if missing and self._running:
            await asyncio.wait(self._running, timeout=self._wait_s)
        return [self._known(head) for head in heads]

    async def _make(self, texts: Sequence[str]) -> None:
        """Make vectors a batch at a time: what is there when a question stops waiting is used."""
        try:
            for start in range(0, len(texts), BATCH_TEXTS):
                batch = texts[start : start + BATCH_TEXTS]
                for text, encoded in zip(batch, await self._encode(batch), strict=True):
                    self._kept[name_of(text)] = encoded.dense.astype(np.float16)
                while len(self._kept) > MAX_KEPT:
                    self._kept.popitem(last=False)
        finally:
            self._making.difference_update(texts)

    def _known(self, text: str) -> FloatVector | None:
        name = name_of(text)
        found = self._kept.get(name)
        if found is None:
            return None
        self._kept.move_to_end(name)
        return found.astype(np.float32)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            # Looked at, so that asyncio does not complain: without vectors the words alone decide.
            task.exception()


def name_of(text: str) -> bytes:
    """Return 16 bytes that stand for a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]
