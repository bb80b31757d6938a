"""Texts to vectors: one model, one queue, questions before documents."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

import numpy as np
from threadpoolctl import threadpool_limits
from tokenizers import Encoding

from indexes.lanes import Job, Lanes
from indexes.model import Forward, ModelFiles, load_forward, model_files, padded, pooled
from indexes.records import Encoded, EncodedQuestion, IntVector
from indexes.tokens import TokenProjection, shipped_projection

T = TypeVar("T")

# A question waits for at most one batch; at this size the batch is as fast per chunk as a larger one.
BATCH_TEXTS = 8


class Embedder:
    """A loaded embedding model. `tag` names model and projection: vectors of another tag do not mix with these."""

    def __init__(self, files: ModelFiles, forward: Forward, *, projection: TokenProjection) -> None:
        self.tag = f"{files.sha256[:16]}/{files.pooling}/{projection.name}"
        self.engine = forward.engine
        self.dim = len(projection.mean)
        self._files = files
        self._forward = forward
        self._projection = projection
        self._tokenizer = files.tokenizer()
        self._lanes = Lanes()
        self._workers = [
            threading.Thread(target=self._work, name="embedder", daemon=True) for _ in range(forward.at_once)
        ]
        for worker in self._workers:
            worker.start()

    @classmethod
    def load(cls, model: str, *, cache_folder: Path) -> Embedder:
        """Return the embedder of the model that ships ("") or of a folder or hub id; blocking.

        The first load on a machine converts the model (seconds), later ones take a fraction of one.
        From then on numpy multiplies on one thread in this process.
        Raises: `ModelUnavailable`.
        """
        # numpy's own threads spin after every product on the cores the model needs: half its speed is lost.
        threadpool_limits(limits=1, user_api="blas")
        files = model_files(model)
        forward = load_forward(files, cache_folder)
        one = np.ones((1, 1), np.int64)
        hidden = forward.hidden(one, one).shape[2]
        return cls(files, forward, projection=shipped_projection(files.sha256, hidden))

    async def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> list[Encoded]:
        """Return one `Encoded` per text, in order; [] for none. `on_batch` is told how many texts each batch held.

        Texts are batched by length; a batch never delays a question by more than itself.
        """
        encodings = await asyncio.to_thread(self._tokenizer.encode_batch, list(texts))
        order = sorted(range(len(texts)), key=lambda at: len(encodings[at].ids))
        batches = [order[at : at + BATCH_TEXTS] for at in range(0, len(order), BATCH_TEXTS)]
        results: dict[int, Encoded] = {}

        async def run(batch: list[int]) -> None:
            done = await self._submit(
                lambda: self._encode_batch([encodings[at] for at in batch]), self._lanes.put_document
            )
            results.update(zip(batch, done, strict=True))
            if on_batch is not None:
                on_batch(len(batch))

        await asyncio.gather(*(run(batch) for batch in batches))
        return [results[at] for at in range(len(texts))]

    async def token_starts(self, texts: Sequence[str]) -> list[IntVector]:
        """Return where in each text its token vectors begin: int64 [n_tokens], ascending code points; [] for none."""
        return await asyncio.to_thread(
            lambda: [word_starts(encoding) for encoding in self._tokenizer.encode_batch(list(texts))]
        )

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return a question's dense vector, its token vectors and their IDF weights."""
        return await self._submit(lambda: self._encode_question(text), self._lanes.put_question)

    async def ping(self) -> None:
        """Return: it was loaded before it could be asked."""

    def close(self) -> None:
        """End the workers after what is queued; the embedder is not used afterwards."""
        self._lanes.close()
        for worker in self._workers:
            worker.join()

    async def _submit(self, call: Callable[[], T], put: Callable[[Job], None]) -> T:
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001 - the caller raises it
                future.set_exception(error)

        put(job)
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while (job := self._lanes.take()) is not None:
            job()

    def _encode_batch(self, encodings: Sequence[Encoding]) -> list[Encoded]:
        hidden = self._forward.hidden(*padded(encodings))
        rows: list[Encoded] = []
        for row, encoding in enumerate(encodings):
            vectors = hidden[row, : len(encoding.ids)]
            words = word_places(encoding)
            rows.append(Encoded(pooled(vectors, self._files.pooling), self._projection.squeeze(vectors[words])))
        return rows

    def _encode_question(self, text: str) -> EncodedQuestion:
        encoding = self._tokenizer.encode(text)
        vectors = self._forward.hidden(*padded([encoding]))[0]
        words = word_places(encoding)
        return EncodedQuestion(
            dense=pooled(vectors, self._files.pooling),
            tokens=self._projection.project(vectors[words]),
            weights=self._projection.weights([encoding.ids[at] for at in words]),
        )


def word_places(encoding: Encoding) -> IntVector:
    """Return int64 [n]: the places of the tokens that are text; special tokens are none."""
    return np.flatnonzero(np.asarray(encoding.special_tokens_mask) == 0)


def word_starts(encoding: Encoding) -> IntVector:
    """Return int64 [n]: where in the text those tokens begin, in code points."""
    # The pairs are made anew each time that they are asked for.
    begins: IntVector = np.array(encoding.offsets, np.int64)[:, 0]
    return begins[word_places(encoding)]
