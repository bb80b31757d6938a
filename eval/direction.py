"""Which way a metric is better, by its name."""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Direction: TypeAlias = Literal["higher", "lower", "neither"]

# Amounts that are paid or waited for, by the word or unit in the name, and errors.
LOWER = re.compile(
    r"^tokens@|(?<!per)_(ms|s|us|seconds|bytes|kb|mb|gb|usd)(?=[.@]|$)"
    r"|^(wrong_served|benign_refused|changed_self_contained)\b"
)
# A difference of two systems of one run, the row of somebody else's default, and what was chosen to equal it.
COMPARED = re.compile(r"[.@][a-z0-9_]+-[a-z0-9_]+$|@baseline(\.|$)|^equal_recall\.(budget|recall_difference)$")


def direction(metric: str) -> Direction:
    """Return whether more of a metric is better, or less, or neither: what only compares is neither."""
    if COMPARED.search(metric):
        return "neither"
    return "lower" if LOWER.search(metric) else "higher"
