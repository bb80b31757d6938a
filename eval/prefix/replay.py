"""One conversation after another against a provider's documented cache, and what of the input it read and wrote.

The prompts are those that the service would send, in the adapters' own words; the cache is the provider stub's, asked
without a socket in between. Time is virtual: a turn every 30 seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

import numpy as np

from eval.prefix.sets import Exchange, ReplaySet
from eval.stub.anthropic_dialect import NEW_VERSION, AnthropicDialect
from eval.stub.asking import Json
from eval.stub.caching import PromptCache
from eval.stub.dialects import Dialect
from eval.stub.openai_dialect import OpenAIDialect
from ragopt.domain import Context, Passage, Question, Turn, Usage
from ragopt.money.prices import Prices, priced
from ragopt.pipeline import ABSTENTION
from ragopt.prompt import build_prompt
from ragopt.providers import anthropic, openai
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.capabilities import capabilities_of
from ragopt.providers.deployment import Deployment
from ragopt.providers.layout import Prompt, Segment
from ragopt.providers.openai import OpenAIProvider
from ragopt.providers.prefixes import PrefixPlanner
from ragopt.providers.protocol import NO_MARKS, CacheMarks, CompletionRequest
from ragopt.results import History
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.carried import CarriedSummaries
from ragopt.stages.history.fold import Limits
from ragopt.tokens import count_tokens, encoding

TURN_GAP_S = 30.0
PASSAGE_TOKENS, PASSAGES = 100, 8
ANSWER_TOKENS = 40
ACCOUNT = "replay"

Body: TypeAlias = Callable[[CompletionRequest], Json]


@dataclass(frozen=True, slots=True)
class Sent:
    """What one call's input was, by the provider's count, and what it cost in USD. conversation: its number."""

    conversation: int
    usage: Usage
    cost_usd: float
    uncached_usd: float


@dataclass(slots=True)
class Replayed:
    """The calls of one layout. unexplained: beginnings that changed although nothing was folded, each in a sentence."""

    sent: list[Sent] = field(default_factory=list)
    unexplained: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Asked:
    """One turn of the replay: the question, what stands before it, and the passages that were found for it."""

    conversation: int
    question: Question
    context: Context
    folded: int
    history: History


def replayed(dataset: ReplaySet, target: Deployment, *, stable_tokens: int, layout: str, seed: int) -> Replayed:
    """Return the calls of a set in one layout, `ragopt` or `naive`, with a stable part of so many tokens."""
    texts = Texts(dataset, seed=seed)
    provider, found = Provider(target), Replayed()
    instructions = texts.instructions(stable_tokens)
    planner = PrefixPlanner(provider.prices, clock=lambda: provider.now)
    before: tuple[Asked, Prompt] | None = None
    for asked in turns_of(dataset, texts):
        prompt = build_prompt(asked.context, asked.history, instructions=instructions)
        if layout == "naive":
            found.sent.append(provider.send(naive(prompt), NO_MARKS, conversation=asked.conversation, alone=True))
        else:
            marks = planner.plan(target, prompt, question=asked.question)
            found.sent.append(provider.send(prompt, marks, conversation=asked.conversation))
            found.unexplained += broken(before, (asked, prompt))
        before = (asked, prompt)
        provider.now += TURN_GAP_S
    return found


def broken(before: tuple[Asked, Prompt] | None, now: tuple[Asked, Prompt]) -> list[str]:
    """Return a sentence if the prompt does not begin with what the one before could cache, and nothing explains it.

    Explained is another conversation, whose rules alone are shared, and a turn after which older ones were folded.
    """
    if before is None:
        return []
    (was, earlier), (asked, prompt) = before, now
    alike = was.conversation == asked.conversation and was.folded == asked.folded
    end = earlier.breakpoints()[-1 if alike else 0]
    if earlier.prefix_digest(end) == prompt.prefix_digest(end) and prompt.segments[end].breakpoint:
        return []
    return [f"conversation {asked.conversation}, turn {len(asked.question.history) // 2 + 1}: the first {end} segments"]


def turns_of(dataset: ReplaySet, texts: Texts) -> Iterator[Asked]:
    """Yield the turns of every conversation with the history that the service would send."""
    carried = CarriedSummaries(Limits.of(HistorySettings()))
    for number, conversation in enumerate(dataset.conversations):
        said: list[Turn] = []
        for exchange in conversation:
            history = tuple(said)
            question = Question(exchange.question, "replay", history=history)
            summary = carried.of(history)
            kept = History(summary.blocks, history[summary.folded :])
            yield Asked(number, question, texts.context(exchange), summary.folded, kept)
            said += [Turn("user", exchange.question), Turn("assistant", exchange.answer or texts.answer())]


class Texts:
    """Text of the set's own words where the set has none: passages, answers, and an application's instructions.

    What is compared depends on how many tokens there are and on whether they are the same, not on what they say.
    """

    def __init__(self, dataset: ReplaySet, *, seed: int) -> None:
        said = [text for told in dataset.conversations for item in told for text in (item.question, item.answer)]
        self._words = " ".join(said).split() or [ABSTENTION]
        self._random = np.random.default_rng(seed)

    def drawn(self, tokens: int) -> str:
        """Return a text of at most so many tokens."""
        places = self._random.integers(0, len(self._words), max(1, 2 * tokens))
        words = " ".join(self._words[at] for at in places.tolist())
        return encoding().decode(encoding().encode_ordinary(words)[:tokens]).rstrip("\ufffd")

    def instructions(self, stable_tokens: int) -> str:
        """Return what makes the rules so many tokens together, "" if they are as many already."""
        missing = stable_tokens - count_tokens(build_prompt(NOTHING, History()).system)
        return self.drawn(missing) if missing > 0 else ""

    def answer(self) -> str:
        """Return an answer."""
        return f"{self.drawn(ANSWER_TOKENS)} [1]."

    def context(self, exchange: Exchange) -> Context:
        """Return passages that no other question gets."""
        passages = []
        for n in range(1, PASSAGES + 1):
            text = self.drawn(PASSAGE_TOKENS)
            span = (0, len(text))
            passages.append(Passage(n, f"d{n}", 1, f"d{n}/0", "", (span,), text, PASSAGE_TOKENS, 1.0, (span,)))
        tokens = PASSAGES * PASSAGE_TOKENS
        return Context(exchange.question, exchange.question, tokens, tokens, tuple(passages), 1, "budget")


NOTHING = Context("", "", 0, 0, (), 1, "exhausted")


def naive(prompt: Prompt) -> Prompt:
    """Return the same segments as many applications lay them out: passages behind the rules, then the history."""
    passages = [segment for segment in prompt.segments if segment.part == "passages"]
    rest = [segment for segment in prompt.segments if segment.part != "passages"]
    rules = [segment for segment in rest if segment.role == "system"]
    moved = [Segment("rules", "system", segment.text) for segment in (*rules, *passages)]
    return Prompt((*moved, *(segment for segment in rest if segment.role != "system")), prompt.version)


class Provider:
    """A provider's cache and prices. now: its clock, in seconds."""

    def __init__(self, target: Deployment) -> None:
        self.now = 0.0
        self.prices = shared_prices()
        self._target = target
        self._cache = PromptCache()

    def send(self, prompt: Prompt, marks: CacheMarks, *, conversation: int, alone: bool = False) -> Sent:
        """Return what a prompt costs now, and keep what it wrote. alone: the provider's own default, without us."""
        target = self._target
        request = CompletionRequest(
            target.model,
            prompt,
            NOTHING,
            max_output_tokens=1,
            timeout_s=1,
            capabilities=target.capabilities,
            cache=marks,
        )
        dialect, body = DIALECTS[target.provider.name]
        told = dict(body(request))
        if alone:
            told |= {"cache_control": {"type": "ephemeral"}} if target.provider.name == "anthropic" else {}
            told.pop("prompt_cache_options", None)
        ask = dialect.ask(told, version=NEW_VERSION)
        visit = self._cache.visit(ask, target.capabilities, scope=ACCOUNT, now=self.now)
        self._cache.commit(visit, now=self.now, readable_at=self.now)
        use = visit.use
        usage = Usage(
            input_tokens=ask.prompt_tokens - use.read - use.written - use.written_1h,
            cached_input_tokens=use.read,
            cache_write_tokens=use.written,
            cache_write_1h_tokens=use.written_1h,
        )
        plain = Usage(input_tokens=ask.prompt_tokens)
        return Sent(conversation, usage, self._cost(usage), self._cost(plain))

    def _cost(self, usage: Usage) -> float:
        return float(self.prices.cost(priced(self._target), usage) or 0)


@cache
def shared_prices() -> Prices:
    """Return the price table."""
    return Prices()


def target_of(dialect: str, model: str) -> Deployment:
    """Return a deployment of a model, by its dialect, `openai` or `anthropic`, that nobody calls."""
    provider = AnthropicProvider(None, None) if dialect == "anthropic" else OpenAIProvider(None, None)
    takes = capabilities_of(dialect, model)
    return Deployment(model, provider, model, tier="simple", timeout_s=1, capabilities=takes)


DIALECTS: Mapping[str, tuple[Dialect, Body]] = {
    "openai": (OpenAIDialect(), openai.parameters),
    "anthropic": (AnthropicDialect(), anthropic.parameters),
}


def totals(sent: Sequence[Sent]) -> Usage:
    """Return the sum of what was sent."""
    return Usage(
        input_tokens=sum(item.usage.input_tokens for item in sent),
        cached_input_tokens=sum(item.usage.cached_input_tokens for item in sent),
        cache_write_tokens=sum(item.usage.cache_write_tokens for item in sent),
        cache_write_1h_tokens=sum(item.usage.cache_write_1h_tokens for item in sent),
    )
