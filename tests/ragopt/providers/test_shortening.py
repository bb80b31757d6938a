"""Shorter prompts: half of the passages, the first ones, under their numbers."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ragopt.domain import PASSAGE_SEPARATOR, Turn
from ragopt.prompt import build_prompt
from ragopt.providers.shortening import PromptShortener
from ragopt.results import History, Prepared, Shortened
from ragopt.tokens import count_tokens
from tests.model_calls import CONTEXT, PASSAGE, prepared

RECALLED = History(recent=(Turn("user", "Hello"),), recalled=(Turn("user", "Do dogs bark?"),))


def first_half(*texts: str, history: History = RECALLED) -> Prepared:
    """Return a first half with these passages."""
    passages = tuple(replace(PASSAGE, n=n, chunk_id=f"c/{n}", text=text) for n, text in enumerate(texts, 1))
    tokens = count_tokens(PASSAGE_SEPARATOR.join(texts))
    context = replace(CONTEXT, passages=passages, tokens=tokens, token_budget=2 * tokens + 1)
    asked = prepared(context=context)
    question = replace(asked.question, instructions="Say it in Latin.", examples="An example.")
    prompt = build_prompt(context, history, instructions="Say it in Latin.", examples="An example.")
    return Prepared(question, context, prompt, history=history, keeps=True)


def shortened(half: Prepared) -> Shortened | None:
    """Return what the shortener makes of it."""
    return asyncio.run(PromptShortener(build_prompt, count_tokens)(half))


@given(st.lists(st.text("ab .", min_size=1, max_size=60), min_size=2, max_size=6))
def test_the_first_passages_stay_within_half_of_the_tokens(texts: list[str]) -> None:
    """At least one stays, at least one goes where several are half, and as many stay as fit."""
    half = first_half(*texts)
    found = shortened(half)
    assert found
    kept = found.context.passages
    assert kept == half.context.passages[: len(kept)]
    assert kept
    assert found.context.tokens == count_tokens(PASSAGE_SEPARATOR.join(passage.text for passage in kept))
    assert len(kept) == 1 or found.context.tokens <= half.context.tokens // 2
    assert found.context.tokens <= found.context.token_budget
    if len(kept) > 1:
        more = PASSAGE_SEPARATOR.join(texts[: len(kept) + 1])
        assert count_tokens(more) > half.context.tokens // 2


def test_the_prompt_is_that_of_what_stays() -> None:
    """Instructions, examples and the last turns stay; recalled turns go; the cache keeps no answer to it."""
    half = first_half("One. " * 20, "Two. " * 20, "Three. " * 20)
    found = shortened(half)
    assert found
    rest = replace(RECALLED, recalled=())
    assert found.prompt == build_prompt(
        found.context, rest, instructions=half.question.instructions, examples=half.question.examples
    )
    assert "Two." not in found.prompt.user
    sent = found.of(half)
    assert (sent.context, sent.prompt, sent.history, sent.keeps) == (found.context, found.prompt, rest, False)
    assert sent.question == half.question


def test_recalled_turns_alone_can_go() -> None:
    """One passage stays whole; without recalled turns there is nothing to leave out."""
    found = shortened(first_half("One passage."))
    assert found
    assert (len(found.context.passages), found.history.recalled) == (1, ())
    assert shortened(first_half("One passage.", history=History())) is None
