"""A cross-encoder in this process: pairs of question and text to scores."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from indexes.classifier import ClassifierFiles, PairForward, classifier_files, load_classifier, padded_pairs
from indexes.errors import ModelUnavailable
from ragopt.stages.rerank.choice import SETTING

# Small, so that a deadline is met closely: on two cores a batch of 4 takes 1.1 times as long per pair as one of 8.
BATCH_PAIRS = 4


class LocalCrossEncoder:
    """A loaded cross-encoder. `tag` names its weights.

    One worker takes the batches of all questions in the order they come; a question has one batch in
    that queue at a time, so that several share the model batch by batch. It shares the cores with the
    embedder: while documents are ingested it is slower, and fewer hits fit a deadline.
    """

    batch_pairs = BATCH_PAIRS

    def __init__(self, files: ClassifierFiles, forward: PairForward) -> None:
        self.tag = files.sha256[:16]
        self.engine = forward.engine
        self._forward = forward
        self._tokenizer = files.tokenizer()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="cross-encoder")

    @classmethod
    def load(cls, model: str, *, cache_folder: Path) -> LocalCrossEncoder:
        """Return the cross-encoder of a folder or hub id; blocking.

        The first load on a machine converts the model (seconds). Raises: `ModelUnavailable`.
        """
        files = classifier_files(model, setting=SETTING)
        loaded = cls(files, load_classifier(files, cache_folder))
        # The first run prepares kernels: better here than within a question's deadline.
        loaded.judged("warm up", ["word " * 100] * BATCH_PAIRS)
        return loaded

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Return the logit of each text, in order. Raises: `ModelUnavailable` if the model fails."""
        return await asyncio.get_running_loop().run_in_executor(self._worker, self.judged, question, texts)

    def judged(self, question: str, texts: Sequence[str]) -> list[float]:
        """Return the logit of each text, in order; blocking, one call at a time. Raises: `ModelUnavailable`."""
        encodings = self._tokenizer.encode_batch([(question, text) for text in texts])
        try:
            logits = self._forward.logits(*padded_pairs(encodings))
        except RuntimeError as error:
            raise ModelUnavailable(f"{SETTING}: the cross-encoder failed: {error}") from error
        if not np.isfinite(logits).all():
            raise ModelUnavailable(f"{SETTING}: the cross-encoder returned a score that is not a number")
        return [float(logit) for logit in logits]

    async def close(self) -> None:
        """End the worker after the batch it is at; what still waits is dropped."""
        await asyncio.to_thread(self._worker.shutdown, cancel_futures=True)
