"""Routing sets: {id, domain, prompt, correct: {model: bool}}, one JSON object a line."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from tqdm import tqdm

from eval.datasets import jsonl_file, jsonl_in, rows_of
from eval.errors import DatasetError
from eval.routing.curve import Outcomes
from eval.routing.heads import Matrix, Prompts
from indexes.embedding import Embedder
from ragopt.config import cache_dir


@dataclass(frozen=True, slots=True)
class RoutingSet:
    """Prompts with what two models made of them; the strong one is right more often."""

    name: str
    texts: tuple[str, ...]
    domains: tuple[str, ...]
    weak: str
    strong: str
    outcomes: Outcomes
    digest: str


class Encode(Protocol):
    """Texts to their dense vectors."""

    async def __call__(self, texts: Sequence[str]) -> Matrix:
        """Return float64 [n, dim], unit rows, in order."""


def is_routing_set(folder: Path) -> bool:
    """Return whether the folder holds recorded outcomes of models."""
    return jsonl_in(folder, "routing") is not None


def read_routing_set(folder: Path) -> RoutingSet:
    """Return the set in `folder`. Raises: `DatasetError` naming file and line, or if there are not two models."""
    path = jsonl_file(folder, "routing")
    texts: list[str] = []
    domains: list[str] = []
    correct: dict[str, list[bool]] = {}
    for row in rows_of(path):
        outcome = row.fields.get("correct")
        if not isinstance(outcome, dict) or not all(isinstance(right, bool) for right in outcome.values()):
            raise DatasetError(f"{row.place}: `correct` must be an object of true or false by model")
        if len(outcome) != 2 or (correct and set(correct) != set(outcome)):
            raise DatasetError(f"{row.place}: `correct` must name the same two models in every line")
        texts.append(row.text("prompt"))
        domains.append(row.optional("domain"))
        for model, right in outcome.items():
            correct.setdefault(model, []).append(bool(right))
    if not texts:
        raise DatasetError(f"{path}: it is empty")
    weak, strong = sorted(correct, key=lambda model: sum(correct[model]))
    outcomes = Outcomes(np.array(correct[weak], np.float64), np.array(correct[strong], np.float64))
    digest = hashlib.sha256(repr((texts, domains, sorted(correct.items()))).encode()).hexdigest()[:16]
    return RoutingSet(
        folder.resolve().name, tuple(texts), tuple(domains), weak, strong, outcomes=outcomes, digest=digest
    )


async def shipped_vectors(texts: Sequence[str]) -> Matrix:
    """Return the dense vectors of the embedding model that ships, with a progress bar. Raises: `ModelUnavailable`."""
    embedder = Embedder.load("", cache_folder=cache_dir())
    try:
        with tqdm(total=len(texts), desc="embed", unit="text") as bar:
            encoded = await embedder.encode(texts, on_batch=bar.update)
    finally:
        embedder.close()
    return np.stack([item.dense for item in encoded]).astype(np.float64)


async def vectors_of(texts: Sequence[str], encode: Encode, *, kept: Path | None) -> Matrix:
    """Return the vectors of the texts, from the file `kept` if it is there and fits; else made, and written to it.

    Raises: `DatasetError` if the file holds the vectors of other texts.
    """
    digest = hashlib.sha256("\x00".join(texts).encode()).hexdigest()
    if kept is not None and (found := kept_vectors(kept, digest)) is not None:
        return found
    vectors = await encode(texts)
    if kept is not None:
        write_vectors(kept, vectors, digest=digest)
    return vectors


def kept_vectors(path: Path, digest: str) -> Matrix | None:
    """Return the vectors in a file, None if there is none. Raises: `DatasetError` if they are of other texts."""
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        if str(file["digest"]) != digest:
            raise DatasetError(f"{path}: the vectors of other texts; name another file")
        return np.asarray(file["vectors"], np.float64)


def write_vectors(path: Path, vectors: Matrix, *, digest: str) -> None:
    """Write the vectors for `kept_vectors`. Raises: `DatasetError` if the file cannot be written."""
    try:
        with path.open("wb") as out:
            np.savez(out, vectors=vectors.astype(np.float32), digest=np.array(digest))
    except OSError as error:
        raise DatasetError(f"{path}: {error}") from error


def as_prompts(dataset: RoutingSet, vectors: Matrix) -> Prompts:
    """Return the set as what the general head is fitted to."""
    return Prompts(dataset.texts, dataset.domains, vectors, dataset.outcomes)
