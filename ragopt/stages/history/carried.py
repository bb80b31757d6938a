"""Summaries of histories that callers carry themselves: folding starts where the turn before left off."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence

from ragopt.domain import Summary, Turn
from ragopt.stages.history.fold import Limits, folded

MAX_KEPT = 2_000


class CarriedSummaries:
    """The summaries of the latest histories. Which one is found changes no byte: folding depends on the turns alone."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[bytes, Summary] = OrderedDict()

    def of(self, turns: Sequence[Turn]) -> Summary:
        """Return the summary of a history, all turns from the first on."""
        digests = list(prefix_digests(turns))
        known = next((self._kept[digest] for digest in reversed(digests) if digest in self._kept), Summary())
        summary = folded(known, turns, limits=self._limits)
        if summary.folded:
            self._kept[digests[-1]] = summary
            self._kept.move_to_end(digests[-1])
        while len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)
        return summary


def prefix_digests(turns: Sequence[Turn]) -> Iterator[bytes]:
    """Yield for each turn a digest of all up to it."""
    digest = hashlib.sha256()
    for turn in turns:
        content = turn.content.encode("utf-8", "surrogatepass")
        digest.update(f"{turn.role}:{len(content)}:".encode() + content)
        yield digest.digest()
