"""What measurements of detectors have in common: how to measure, the encoder, and what a report says of the weights."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from eval.report import ConfigValue
from eval.screening.sets import digest_of_folder
from indexes.embedding import Embedder
from ragopt.config import cache_dir
from ragopt.screening.heads import THRESHOLD
from ragopt.screening.weights import PlaceT, Weights


@dataclass(frozen=True, slots=True)
class ScreenJob:
    """How to measure. model: weights in place of those that ship. by_signs: without sentence vectors."""

    limit: int | None = None
    model: Path | None = None
    by_signs: bool = False
    seed: int = 0

    @asynccontextmanager
    async def encoder(self) -> AsyncIterator[Embedder | None]:
        """Yield the embedding model that ships, None where the words decide alone. Raises: `ModelUnavailable`."""
        if self.by_signs:
            yield None
            return
        embedder = await asyncio.to_thread(Embedder.load, "", cache_folder=cache_dir())
        try:
            yield embedder
        finally:
            embedder.close()

    def config(self, weights: Weights[PlaceT], *, seen: bool) -> dict[str, ConfigValue]:
        """Return what the set was measured with. seen: whether the weights were fitted to it."""
        return {"model": weights.tag, "threshold": THRESHOLD, "by_signs": self.by_signs, "trained_on": seen}


def is_fitted_to(weights: Weights[PlaceT], folder: Path) -> bool:
    """Return whether weights were fitted to the set in a folder, as it is there now."""
    return weights.trained_on.get(folder.resolve().name) == digest_of_folder(folder)
