"""What the semantic half of the cache asks of its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ragopt.stages.cache.acceptance import Acceptance
from ragopt.state.labels import Label


class SameQuestion(Protocol):
    """A judge of whether two questions ask the same. `tag` names it: scores of two judges do not compare."""

    tag: str

    async def scores(self, asked: str, kept: Sequence[str]) -> Sequence[float]:
        """Return for each kept question, in order, how surely its answer answers `asked`: higher is surer.

        Raises: `ModelUnavailable`. May be cancelled at any time.
        """


class Calibrate(Protocol):
    """Labelled pairs to the score from which on they may be served."""

    def __call__(self, labels: Sequence[Label], *, max_wrong: float) -> Acceptance | None:
        """Return what keeps the share of wrong answers within `max_wrong`; None where too little is known."""
