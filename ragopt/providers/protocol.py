"""What every provider adapter takes and yields."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from ragopt.domain import Context, Turn, Usage
from ragopt.providers.capabilities import Capabilities, Effort
from ragopt.providers.limits import RateLimits

Stop: TypeAlias = Literal["end", "length", "refusal", "tool"]


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
    """One model call. `context` is what the prompt was made from; only `extractive` reads it.

    capabilities: what the model takes. effort: how much to reason, None for the model's default.
    """

    model: str
    prompt: Prompt
    context: Context
    max_output_tokens: int
    timeout_s: float
    capabilities: Capabilities = field(default_factory=Capabilities)
    effort: Effort | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer, in order."""

    text: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The terminal event: without it an answer is not complete.

    stop: why it ended; `length` means the output limit cut it off, `refusal` that the model or a filter
    of the provider would not answer. request_id: the provider's. service_tier: what served it, "" where
    not said. limits: what was left of the rate limits as the answer began. reported: the usage object as
    it came, None where none did.
    """

    usage: Usage
    model_served: str
    stop: Stop
    request_id: str = ""
    service_tier: str = ""
    limits: RateLimits | None = None
    reported: Mapping[str, object] | None = None


ProviderEvent: TypeAlias = TextDelta | Completed


class Provider(Protocol):
    """One provider dialect at one address."""

    name: str

    def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield deltas, then exactly one `Completed`; a single delta where the model does not stream.

        Raises: `ProviderError` subclasses only; `IncompleteStream` if the provider's terminal event
        was never seen. Closing the iterator closes the connection.
        """

    async def close(self) -> None:
        """Close pooled connections."""
