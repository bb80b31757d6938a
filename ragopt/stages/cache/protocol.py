"""What the semantic half of the cache asks of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class SameQuestion(Protocol):
    """A judge of whether two questions ask the same."""

    async def scores(self, asked: str, kept: Sequence[str]) -> Sequence[float]:
        """Return for each kept question, in order, how surely its answer answers `asked`: higher is surer."""


class Acceptance(Protocol):
    """From which score on a kept answer may be served."""

    def accepts(self, score: float) -> bool:
        """Return whether the answer to a question of this score may be served."""
