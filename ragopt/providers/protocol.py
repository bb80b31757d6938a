"""What every provider adapter takes and yields."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ragopt.domain import Context, Turn, Usage


@dataclass(frozen=True, slots=True)
class Prompt:
    """The layout of one call, stable parts first.

    system: the rules, the same bytes for every request of a prompt version. history: earlier turns.
    user: the fenced passages and the question, what changes each time. version: names the template.
    """

    system: str
    history: tuple[Turn, ...]
    user: str
    version: str


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One model call. `context` is what the prompt was made from; only `extractive` reads it."""

    model: str
    prompt: Prompt
    context: Context
    max_output_tokens: int
    timeout_s: float


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The terminal event: without it a stream is not complete. `stop` is the provider's reason."""

    usage: Usage
    model_served: str
    stop: str


ProviderEvent: TypeAlias = TextDelta | Completed


class Provider(Protocol):
    """One provider dialect at one address."""

    name: str

    def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield deltas, then exactly one `Completed`.

        Raises: `ProviderError` subclasses only; `IncompleteStream` if the provider's terminal event
        was never seen. Closing the iterator closes the connection.
        """

    async def close(self) -> None:
        """Close pooled connections."""
