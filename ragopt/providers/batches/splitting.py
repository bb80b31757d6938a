"""Calls to batches within a provider's limits. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from ragopt.providers.batches.protocol import BatchLimits


def split(sizes: Sequence[int], limits: BatchLimits) -> list[range]:
    """Return the places of the calls of each batch, in order and as few as that allows, given the calls' bytes.

    A call that is over the limit by itself gets a batch of its own: the provider says what is wrong with it.
    Empty for no calls.
    """
    parts: list[range] = []
    start, used = 0, 0
    for at, size in enumerate(sizes):
        if at > start and (at - start >= limits.requests or used + size > limits.bytes):
            parts.append(range(start, at))
            start, used = at, 0
        used += size
    return [*parts, range(start, len(sizes))] if sizes else []
