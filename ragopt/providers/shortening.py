"""A prompt that did not fit a model's window, made again with about half of its passages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragopt.domain import PASSAGE_SEPARATOR, Passage
from ragopt.form import instructions_of
from ragopt.ports import BuildPrompt, CountTokens
from ragopt.results import Prepared, Shortened


@dataclass(frozen=True, slots=True)
class PromptShortener:
    """Makes prompts shorter; satisfies `ragopt.providers.deployment.Shorten`."""

    prompt: BuildPrompt
    count_tokens: CountTokens

    async def __call__(self, prepared: Prepared) -> Shortened | None:
        """Return the prompt without recalled turns, with the first passages that have half of the tokens together.

        At least one passage stays. None where there is nothing to leave out. Counts tokens, so in a thread.
        """
        if len(prepared.context.passages) < 2 and not prepared.history.recalled:
            return None
        return await asyncio.to_thread(self._shortened, prepared)

    def _shortened(self, prepared: Prepared) -> Shortened:
        context, question = prepared.context, prepared.question
        budget = context.tokens // 2
        kept = context.passages[: max(1, self._fitting(context.passages, budget))]
        tokens = self._tokens(kept)
        smaller = replace(context, passages=kept, tokens=tokens, token_budget=max(budget, tokens), stopped_by="budget")
        history = replace(prepared.history, recalled=())
        told = instructions_of(question)
        prompt = self.prompt(smaller, history, instructions=told, examples=question.examples)
        return Shortened(smaller, prompt, history)

    def _fitting(self, passages: Sequence[Passage], budget: int) -> int:
        """Return how many of the first passages are within a budget of tokens together."""
        fits = (self._tokens(passages[:count]) <= budget for count in range(1, len(passages) + 1))
        return sum(fits)

    def _tokens(self, passages: Sequence[Passage]) -> int:
        return self.count_tokens(PASSAGE_SEPARATOR.join(passage.text for passage in passages))
