"""What every provider adapter takes and yields."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

from ragopt.domain import Context, Usage
from ragopt.providers.capabilities import Capabilities, Effort
from ragopt.providers.layout import Prompt
from ragopt.providers.limits import RateLimits

Stop: TypeAlias = Literal["end", "length", "refusal", "tool"]


@dataclass(frozen=True, slots=True)
class CacheMarks:
    """Where a provider is to cache a prompt, in the way that its model knows.

    after: the place of a segment to how long the prompt up to its end is to live, in seconds; empty for nowhere. key:
    keeps calls that share a beginning together, and others apart; it tells nothing of tenant or text, "" for none.
    """

    after: Mapping[int, int] = field(default_factory=dict)
    key: str = ""


NO_MARKS = CacheMarks()


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One model call. `context` is what the prompt was made from; only `extractive` reads it.

    capabilities: what the model takes. effort: how much to reason, None for the model's default. cache: where the
    provider is to cache the prompt.
    """

    model: str
    prompt: Prompt
    context: Context
    max_output_tokens: int
    timeout_s: float
    capabilities: Capabilities = field(default_factory=Capabilities)
    effort: Effort | None = None
    cache: CacheMarks = NO_MARKS


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

    async def connected(self) -> None:
        """Have what a call needs before its time runs. Raises: `ProviderError` subclasses only."""

    async def close(self) -> None:
        """Close pooled connections."""
