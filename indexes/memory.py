"""Memory that the C library keeps for later: what a closed shard held is free, and still the process's."""

from __future__ import annotations

import ctypes
from functools import cache


def give_back() -> None:
    """Return unused memory to the system; nothing where the C library has no `malloc_trim`. Blocks for milliseconds.

    Source: malloc_trim(3). It looks at every arena, and the library by itself only at the end of each: a shard is
    loaded by one thread and closed by another, so what is left of it lies between what others use.
    """
    trim = malloc_trim()
    if trim is not None:
        trim(0)


@cache
def malloc_trim() -> ctypes._FuncPointer | None:
    """Return the C library's function, None where it has none."""
    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
