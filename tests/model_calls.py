"""What tests of model calls share: a prompt, calls of it, and a scripted provider."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

from pydantic import SecretStr

from eval.stub import StubServer
from ragopt.domain import Context, Passage, Question, Turn
from ragopt.errors import ProviderError
from ragopt.money.prices import Prices
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.call import ModelCaller, RetryRules
from ragopt.providers.capabilities import Capabilities, Effort
from ragopt.providers.health import BreakerRules
from ragopt.providers.layout import Prompt, Segment
from ragopt.providers.meter import Meter
from ragopt.providers.openai import OpenAIProvider
from ragopt.providers.protocol import CompletionRequest, Provider, ProviderEvent, TextDelta
from ragopt.results import Prepared

KEY = SecretStr("sk-test")
ANSWER = "Cats sleep sixteen hours a day [1]."
PASSAGE = Passage(
    n=1,
    document_id="cats",
    version=1,
    chunk_id="cats/0",
    title="Cats",
    spans=((0, 49),),
    text="Cats sleep sixteen hours a day. They purr as well.",
    tokens=11,
    score=1.0,
    units=((0, 31), (32, 49)),
)
CONTEXT = Context(
    question="How long do cats sleep?",
    standalone_question="How long do cats sleep?",
    token_budget=100,
    tokens=11,
    passages=(PASSAGE,),
    generation=1,
    stopped_by="exhausted",
)


def laid_out(*, system: str, history: Sequence[Turn], user: str) -> Prompt:
    """Return a prompt of three parts."""
    turns = (Segment("history", turn.role, turn.content, breakpoint=turn.role == "assistant") for turn in history)
    rules, asked = Segment("rules", "system", system, breakpoint=True), Segment("question", "user", user)
    return Prompt((rules, *turns, asked), version="test-1")


HISTORY = (Turn("user", "Hello"), Turn("assistant", "Hello, ask me."))
PROMPT = laid_out(
    system="Answer from the passages.",
    history=HISTORY,
    user=f'<passage n="1" title="Cats">\n{PASSAGE.text}\n</passage>\n\nQuestion: {CONTEXT.question}',
)


def call(
    model: str, *, timeout_s: float = 10, streaming: bool = True, effort: Effort | None = None
) -> CompletionRequest:
    """Return a call of `model` with the prompt above."""
    return CompletionRequest(
        model=model,
        prompt=PROMPT,
        context=CONTEXT,
        max_output_tokens=100,
        timeout_s=timeout_s,
        capabilities=Capabilities(streaming=streaming),
        effort=effort,
    )


def prepared(*, model: str = "auto", context: Context = CONTEXT, max_output_tokens: int | None = None) -> Prepared:
    """Return the first half of an answer, ready to be generated."""
    question = Question(text=context.question, tenant="t", model=model, max_output_tokens=max_output_tokens)
    return Prepared(question=question, context=context, prompt=PROMPT)


def provider_for(dialect: str, stub: StubServer) -> Provider:
    """Return the adapter for `dialect`, pointed at the stub."""
    if dialect == "openai":
        return OpenAIProvider(KEY, stub.openai_url)
    return AnthropicProvider(KEY, stub.anthropic_url)


async def collected(provider: Provider, request: CompletionRequest) -> list[ProviderEvent]:
    """Return every event of one call, and close the provider whatever happens."""
    try:
        return [event async for event in provider.stream(request)]
    finally:
        await provider.close()


def text_of(events: Sequence[object]) -> str:
    """Return the text of the deltas among `events`."""
    return "".join(event.text for event in events if isinstance(event, TextDelta))


class Instants:
    """A clock that stands still unless it is told or slept on; remembers what was slept."""

    def __init__(self, now: float = 1_000.0) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> float:
        """Return the time."""
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


def caller(
    *,
    retries: RetryRules | None = None,
    breaker: BreakerRules | None = None,
    meter: Meter | None = None,
    clock: Instants | None = None,
) -> ModelCaller:
    """Return a caller that does not retry unless told to, and whose waits take no time."""
    instants = clock or Instants()
    return ModelCaller(
        Prices(),
        meter=meter,
        retries=retries or RetryRules(attempts=1),
        breaker=breaker,
        clock=instants,
        sleep=instants.sleep,
        randomness=random.Random(7),
    )


class ScriptedProvider:
    """Yields what it was given, an error at its place; remembers the calls and whether it was closed early."""

    name = "scripted"

    def __init__(self, *script: ProviderEvent | ProviderError) -> None:
        self.script = script
        self.requests: list[CompletionRequest] = []
        self.closed_early = False

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield the script."""
        self.requests.append(request)
        ended = False
        try:
            for step in self.script:
                if isinstance(step, ProviderError):
                    ended = True
                    raise step
                yield step
            ended = True
        finally:
            self.closed_early = not ended

    async def connected(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""
