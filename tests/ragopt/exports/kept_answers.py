"""Kept answers to choose from."""

from __future__ import annotations

from dataclasses import replace

from ragopt.state.kept import KeptAnswer, KeptPassage, KeptQuote

KEPT = KeptAnswer(
    id="ans_1",
    at=1_700_000_000.0,
    collection="default",
    question="When do unused days lapse?",
    passages=(KeptPassage(1, "leave.md", 2, "Leave", "Unused days lapse in March."),),
    answer="They lapse in March [1].",
    quotes=(KeptQuote("leave.md", "Unused days lapse in March."),),
    provider="openai",
    model="large",
    tier="complex",
    difficulty=0.2,
    supported=True,
)


def kept(**changes: object) -> KeptAnswer:
    """Return a kept answer that differs in this."""
    return replace(KEPT, **changes)  # type: ignore[arg-type]
