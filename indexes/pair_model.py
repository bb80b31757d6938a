"""A classifier of text pairs that ships as a folder: int8 weights for OpenVINO, the tokenizer of the embedding model.

Nothing is converted or downloaded at start and torch is not needed. The folder holds `model.xml`, `model.bin` and
`model.json`, which `eval.pairs.export` writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from indexes.classifier import padded_pairs
from indexes.compiled import CompiledModel, IdMatrix, cores
from indexes.errors import ModelUnavailable
from indexes.model import fast_tokenizer, file_sha256, read_json, shipped_folder

TextPair: TypeAlias = tuple[str, str]
LabelLogits: TypeAlias = NDArray[np.float32]

CARD = "model.json"
# Small, so that a caller with one pair waits for at most so many of another's.
BATCH_PAIRS = 8


@dataclass(frozen=True, slots=True)
class PairCard:
    """What `model.json` says. labels: in the order of the logits. sha256: of each file. trained_on: digests by set."""

    labels: tuple[str, ...]
    max_tokens: int
    tokenizer_sha256: str
    sha256: Mapping[str, str]
    trained_on: Mapping[str, str]

    @property
    def tag(self) -> str:
        """Return 16 hex digits that name the weights."""
        return self.sha256["model.bin"][:16]


class LabelForward(Protocol):
    """A compiled pair model. at_once: how many calls may run side by side."""

    engine: str
    at_once: int

    def run(self, ids: IdMatrix, mask: IdMatrix, *others: IdMatrix) -> LabelLogits:
        """Return float32 [batch, labels] for ids, mask and types, int64 [batch, tokens] each."""


class PairModel:
    """A loaded pair model. Its workers take the batches of all callers in the order they come."""

    def __init__(self, card: PairCard, forward: LabelForward, tokenizer: Tokenizer) -> None:
        self.card = card
        self.engine = forward.engine
        self._forward = forward
        self._tokenizer = tokenizer
        self._workers = ThreadPoolExecutor(max_workers=forward.at_once, thread_name_prefix="pair-model")

    @classmethod
    def load(cls, folder: Path, *, cache_folder: Path) -> PairModel:
        """Return the model of a folder, checked and warmed up; blocking.

        Raises: `ModelUnavailable` if a file is missing or damaged, the packaged tokenizer is another
        one than it was trained with, or OpenVINO is not there or cannot run it.
        """
        card = read_card(folder)
        tokenizer_file = shipped_folder() / "tokenizer.json"
        for path, wanted in (
            *((folder / name, sha256) for name, sha256 in card.sha256.items()),
            (tokenizer_file, card.tokenizer_sha256),
        ):
            check_file(path, wanted)
        try:
            forward = CompiledModel(folder / "model.xml", cache_folder, at_once=cores(), int8=True)
        except (ImportError, RuntimeError, OSError) as error:
            raise ModelUnavailable(f"{folder}: OpenVINO cannot run the model: {error}") from error
        loaded = cls(card, forward, fast_tokenizer(shipped_folder(), max_tokens=card.max_tokens))
        # The first run prepares kernels: better here than within a question's deadline.
        loaded.judged([("word " * 9, "word " * 9)])
        return loaded

    async def logits(self, pairs: Sequence[TextPair]) -> LabelLogits:
        """Return float32 [n, labels], in order; [0, labels] for no pairs. Raises: `ModelUnavailable` if it fails."""
        found = np.zeros((len(pairs), len(self.card.labels)), np.float32)
        loop = asyncio.get_running_loop()

        async def run(places: list[int]) -> None:
            found[places] = await loop.run_in_executor(self._workers, self.judged, [pairs[at] for at in places])

        await asyncio.gather(*(run(places) for places in alike(pairs, parts=self._forward.at_once)))
        return found

    def judged(self, pairs: Sequence[TextPair]) -> LabelLogits:
        """Return float32 [n, labels] of one batch of at least one pair; blocking.

        Raises: `ModelUnavailable` if the model fails.
        """
        encodings: list[Encoding] = self._tokenizer.encode_batch(list(pairs))
        try:
            logits = self._forward.run(*padded_pairs(encodings))
        except RuntimeError as error:
            raise ModelUnavailable(f"the pair model {self.card.tag} failed: {error}") from error
        if not np.isfinite(logits).all():
            raise ModelUnavailable(f"the pair model {self.card.tag} returned a score that is not a number")
        return logits

    async def close(self) -> None:
        """End the workers after the batches they are at; what still waits is dropped."""
        await asyncio.to_thread(self._workers.shutdown, cancel_futures=True)


def alike(pairs: Sequence[TextPair], *, parts: int) -> list[list[int]]:
    """Return the places of the pairs in batches of texts of like length, at least `parts` where there are so many."""
    order = sorted(range(len(pairs)), key=lambda at: len(pairs[at][0]) + len(pairs[at][1]))
    size = max(1, min(BATCH_PAIRS, -(-len(order) // parts)))
    return [order[start : start + size] for start in range(0, len(order), size)]


def read_card(folder: Path) -> PairCard:
    """Return what a model folder says of itself. Raises: `ModelUnavailable`."""
    fields = read_json(folder / CARD)
    labels, files, trained = fields.get("labels"), fields.get("sha256"), fields.get("trained_on")
    max_tokens, tokenizer = fields.get("max_tokens"), fields.get("tokenizer_sha256")
    if not isinstance(labels, list) or not isinstance(max_tokens, int) or not isinstance(tokenizer, str):
        raise ModelUnavailable(f"{folder / CARD}: labels, max_tokens or tokenizer_sha256 is missing")
    if not isinstance(files, dict) or not {"model.xml", "model.bin"} <= set(files) or not isinstance(trained, dict):
        raise ModelUnavailable(f"{folder / CARD}: sha256 or trained_on is missing")
    return PairCard(tuple(map(str, labels)), max_tokens, tokenizer, files, trained_on=trained)


def check_file(path: Path, sha256: str) -> None:
    """Raise `ModelUnavailable` if the file is missing or has another checksum."""
    if not path.is_file():
        raise ModelUnavailable(f"{path} is missing")
    if (found := file_sha256(path)) != sha256:
        raise ModelUnavailable(f"{path} has sha256 {found}, not {sha256}: it is damaged or another version")
