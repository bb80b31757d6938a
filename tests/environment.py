"""Environment variables for the length of a block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Replace every `RAGOPT_` and provider variable by `variables` for the block."""
    ours = ("RAGOPT_", "OPENAI_", "ANTHROPIC_")
    before = {name: value for name, value in os.environ.items() if name.startswith(ours) or name in variables}
    for name in before:
        del os.environ[name]
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def campaign_examples(examples: int, *, times: int = 50) -> int:
    """Return how many cases a property gets: `examples`, and `times` as many under `make campaign`.

    A shortened campaign has its share of them, but never fewer than `examples`.
    """
    if not os.environ.get("CAMPAIGN"):
        return examples
    return max(examples, round(examples * times * float(os.environ.get("CAMPAIGN_SHARE", "1"))))
