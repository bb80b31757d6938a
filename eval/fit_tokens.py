"""`python -m eval fit-tokens`: fits the token projection that ships, `indexes/data/minilm_tokens.npz`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from eval.datasets import read_documents
from eval.errors import EvaluationError
from eval.intervals import exact
from eval.report import Report
from eval.token_fit import Squeeze, inverse_frequencies, principal_axes
from indexes.model import Forward, ModelFiles, file_sha256, load_forward, model_files, padded
from indexes.records import FloatMatrix, FloatVector
from indexes.tokens import BITS, unit_rows
from ragopt.config import cache_dir

BATCH_TEXTS = 8


@dataclass(frozen=True, slots=True)
class FitJob:
    """What to fit on: `folders` with a corpus each; `texts` of them are embedded, all are counted for the IDF."""

    folders: tuple[Path, ...]
    texts: int = 3_500
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Fit:
    """What was fitted, from how many texts and token vectors."""

    squeeze: Squeeze
    idf: FloatVector
    model_sha256: str
    texts: int
    vectors: int
    counted: int


class TokenVectors:
    """The embedding model, as the source of token vectors."""

    def __init__(self, files: ModelFiles, forward: Forward) -> None:
        self._tokenizer = files.tokenizer()
        self._forward = forward
        self.vocabulary = self._tokenizer.get_vocab_size()

    def of(self, texts: Sequence[str]) -> Iterator[tuple[int, FloatMatrix, FloatVector]]:
        """Yield for each text its place, its token vectors float32 [n, hidden] and its unit dense vector [hidden].

        Short texts come first. Token vectors have unit length; special tokens are left out of them.
        """
        encodings = self._tokenizer.encode_batch(list(texts))
        order = sorted(range(len(texts)), key=lambda at: len(encodings[at].ids))
        for start in tqdm(range(0, len(order), BATCH_TEXTS), desc="embed", unit_scale=BATCH_TEXTS, unit="text"):
            batch = order[start : start + BATCH_TEXTS]
            hidden = self._forward.hidden(*padded([encodings[at] for at in batch]))
            for row, at in enumerate(batch):
                vectors = hidden[row, : len(encodings[at].ids)]
                words = np.flatnonzero(np.asarray(encodings[at].special_tokens_mask) == 0)
                yield at, unit_rows(vectors[words]), unit_rows(vectors.mean(axis=0, keepdims=True))[0]

    def ids(self, texts: Sequence[str]) -> Iterator[list[int]]:
        """Yield the wordpiece ids of each text, without special tokens."""
        for start in range(0, len(texts), 1_000):
            for encoding in self._tokenizer.encode_batch(list(texts[start : start + 1_000]), add_special_tokens=False):
                yield encoding.ids


def load_token_vectors() -> tuple[TokenVectors, str]:
    """Return the model that ships and its sha256. Raises: `ModelUnavailable`."""
    files = model_files("")
    return TokenVectors(files, load_forward(files, cache_dir())), files.sha256


def run(job: FitJob, out: Path) -> Report:
    """Fit, write `out`, and return what was fitted to. Raises: `EvaluationError`, `DatasetError`."""
    corpora = [[document.text for _, document in read_documents(folder)] for folder in job.folders]
    model, sha256 = load_token_vectors()
    fitted = fit(model, corpora, job=job, model_sha256=sha256)
    write(fitted, out)
    return Report(
        job="fit-tokens",
        set="+".join(folder.resolve().name for folder in job.folders),
        n=fitted.texts,
        seed=job.seed,
        config={"out": str(out), "sha256": file_sha256(out), "model_sha256": sha256, "bits": BITS},
        metrics={"token_vectors": exact(fitted.vectors), "texts_counted": exact(fitted.counted)},
    )


def fit(model: TokenVectors, corpora: Sequence[Sequence[str]], *, job: FitJob, model_sha256: str) -> Fit:
    """Return the projection of a sample of the corpora's texts, and the IDF of all of them."""
    sample = sampled(corpora, texts=job.texts, seed=job.seed)
    vectors = np.concatenate([tokens for _, tokens, _ in model.of(sample)] or [np.zeros((0, 0), np.float32)])
    if len(vectors) < BITS:
        raise EvaluationError(f"{len(vectors)} token vectors are too few for {BITS} directions: give more texts")
    counted = [text for corpus in corpora for text in corpus]
    return Fit(
        squeeze=principal_axes(vectors, bits=BITS, centred=False),
        idf=inverse_frequencies(model.ids(counted), vocabulary=model.vocabulary),
        model_sha256=model_sha256,
        texts=len(sample),
        vectors=len(vectors),
        counted=len(counted),
    )


def sampled(corpora: Sequence[Sequence[str]], *, texts: int, seed: int) -> list[str]:
    """Return about `texts` texts: an equal share of each corpus, of a small one at most half, the rest from the larger.

    The half that is never drawn can show how well the fit carries over.
    """
    rng = np.random.default_rng(seed)
    chosen: list[str] = []
    smallest_first = sorted(corpora, key=len)
    for at, corpus in enumerate(smallest_first):
        share = (texts - len(chosen)) // (len(smallest_first) - at)
        drawn = rng.permutation(len(corpus))[: min(share, (len(corpus) + 1) // 2)]
        chosen += [corpus[place] for place in drawn]
    return chosen


def write(fitted: Fit, out: Path) -> None:
    """Write the .npz that `indexes.tokens` reads. Raises: `EvaluationError` if the file cannot be written."""
    try:
        with out.open("wb") as file:
            np.savez_compressed(
                file,
                projection=fitted.squeeze.matrix,
                mean=fitted.squeeze.mean,
                # Half precision: the weights only order the tokens of a question.
                idf=fitted.idf.astype(np.float16),
                model_sha256=np.array(fitted.model_sha256),
            )
    except OSError as error:
        raise EvaluationError(f"{out}: {error}") from error
