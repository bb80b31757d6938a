"""How far a search is, and how long it still takes: one bar over ingesting and asking."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from tqdm import tqdm

# What the parts cost relative to packing one question, measured on 2 cores: 2 ms a packing, 10 ms a
# search with its reranking, 12 ms an embedded chunk of 100 tokens. They only steer the estimate.
PACK_UNITS = 1.0
SEARCH_UNITS = 5.0
EMBED_UNITS_PER_TOKEN = 0.06
CHARACTERS_PER_TOKEN = 4.3


class Meter:
    """A progress bar on standard error, as a context. Counts in units of about equal time."""

    def __init__(self, *, corpus_chars: int) -> None:
        self._ingest_units = corpus_chars / CHARACTERS_PER_TOKEN * EMBED_UNITS_PER_TOKEN
        self._ingested = 0.0
        self._bar = tqdm(
            total=1.0,
            desc="tune",
            bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}, about {remaining} left",
            mininterval=0.5,
            dynamic_ncols=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.close()

    def expect(self, *, indexes: int, searches: int, packings: int) -> None:
        """Set what is still to do, at most: pruning makes it less."""
        left = indexes * self._ingest_units + searches * SEARCH_UNITS + packings * PACK_UNITS
        self._bar.total = self._bar.n + left
        self._bar.refresh()

    def opens(self, index: str) -> None:
        """Say which index is worked on."""
        self._bar.set_description_str(f"tune ({index})")

    def embedded(self, tokens: int) -> None:
        """Move to `tokens` of the index that is being built."""
        reached = min(self._ingest_units, tokens * EMBED_UNITS_PER_TOKEN)
        self._bar.update(max(0.0, reached - self._ingested))
        self._ingested = max(self._ingested, reached)

    def indexed(self) -> None:
        """Move to the end of the index that is being built."""
        self._bar.update(self._ingest_units - self._ingested)
        self._ingested = 0.0

    def asked(self, candidates: int) -> None:
        """Move by one question, searched once and packed for each candidate."""
        self._bar.update(SEARCH_UNITS + PACK_UNITS * candidates)
