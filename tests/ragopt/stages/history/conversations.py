"""Conversations for the tests of this folder."""

from __future__ import annotations

import random

from ragopt.domain import Turn

TOPICS = ("train", "invoice", "garden", "server", "passport", "violin", "recipe", "contract")


def exchanges(number: int, *, seed: int = 0, words: int = 30) -> tuple[Turn, ...]:
    """Return so many exchanges of made-up sentences, each with a number of its own."""
    rng = random.Random(seed)
    turns: list[Turn] = []
    for at in range(number):
        for role in ("user", "assistant"):
            filler = " ".join(rng.choice(TOPICS) for _ in range(rng.randrange(3, words)))
            text = f"The {rng.choice(TOPICS)} number is {1_000 + at}. Great! {filler.capitalize()}."
            turns.append(Turn(role, text))  # type: ignore[arg-type]
    return tuple(turns)
