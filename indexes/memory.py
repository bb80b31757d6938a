"""Memory that the C library keeps for later: what a closed shard held is free, and still the process's."""

from __future__ import annotations

import ctypes
from functools import cache

# From malloc.h of glibc.
M_ARENA_MAX = -8
ARENAS = 2


def share_arenas() -> None:
    """Let the threads that are started from now on take memory from two places; nothing where it is not glibc.

    By default each has a place of its own, up to eight for each core, and what one of them frees no other uses: a shard
    is loaded by one thread, written to by many and closed by another. Source: mallopt(3).
    """
    mallopt = from_libc("mallopt")
    if mallopt is not None and malloc_trim() is not None:
        mallopt(M_ARENA_MAX, ARENAS)


def give_back() -> None:
    """Return unused memory to the system; nothing where the C library has no `malloc_trim`. Blocks for milliseconds.

    The library does so by itself only at the end of each place, and what is left of a closed shard lies between what
    others use. Source: malloc_trim(3).
    """
    trim = malloc_trim()
    if trim is not None:
        trim(0)


def malloc_trim() -> ctypes._FuncPointer | None:
    """Return the C library's function, None where it has none: it is not glibc."""
    return from_libc("malloc_trim")


@cache
def from_libc(name: str) -> ctypes._FuncPointer | None:
    """Return a function of the C library, None where it has none of that name."""
    try:
        found: ctypes._FuncPointer = getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
    return found
