"""What every adapter of a provider's batch API takes and returns."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from ragopt.errors import ProviderError
from ragopt.providers.protocol import Completed, CompletionRequest

# `failed`: the provider took the batch and then refused it whole, so nothing of it was asked or charged.
BatchPhase: TypeAlias = Literal["running", "ended", "failed"]
Read: TypeAlias = Callable[[CompletionRequest], tuple[str, Completed]]
"""The text and the terminal event of one answer, given what was asked. Raises: `ProviderError` subclasses only."""


# Seconds that uploading, one short question and reading all answers may take.
SUBMIT_S, ASK_S, DOWNLOAD_S = 600.0, 60.0, 1_800.0
NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The most that one batch may hold."""

    requests: int
    bytes: int


# By dialect. Source: openai 3.52.0, `types/batch_create_params.py`; platform.claude.com, batch processing, "Batch
# limitations". A megabyte is taken for a million bytes, the smaller reading.
LIMITS: Mapping[str, BatchLimits] = MappingProxyType(
    {
        "openai": BatchLimits(requests=50_000, bytes=200_000_000),
        "anthropic": BatchLimits(requests=100_000, bytes=256_000_000),
    }
)


@dataclass(frozen=True, slots=True)
class BatchCall:
    """One call of a batch. custom_id: 1 to 64 letters, digits, `-` and `_`, unique within the batch."""

    custom_id: str
    request: CompletionRequest


@dataclass(frozen=True, slots=True)
class BatchTag:
    """By what a batch is found whose submission was not confirmed.

    name: ours, which no other batch has. custom_ids: of its calls. since_s: Unix seconds before it was submitted.
    """

    name: str
    custom_ids: frozenset[str]
    since_s: float


@dataclass(frozen=True, slots=True)
class Lookup:
    """What looking for a batch came to.

    id: of the batch, None where it was not found. undecided: one that runs may be it, which shows once it has ended.
    """

    id: str | None
    undecided: bool = False


@dataclass(frozen=True, slots=True)
class BatchStatus:
    """How far a batch is. done: calls that have ended, as far as the provider says. detail: why it failed, else ""."""

    phase: BatchPhase
    done: int
    detail: str = ""


@dataclass(frozen=True, slots=True)
class BatchLine:
    """What came of one call; `read` raises what the call failed with."""

    custom_id: str
    read: Read


class BatchProvider(Protocol):
    """The batch API of one provider at one address. Every method raises `ProviderError` subclasses only."""

    name: str

    def size_bytes(self, call: BatchCall) -> int:
        """Return how many bytes the call adds to a batch."""

    async def submit(self, calls: Sequence[BatchCall], *, tag: str) -> str:
        """Return the provider's id of a new batch; all calls are of one model and within the limits."""

    async def find(self, tag: BatchTag) -> Lookup:
        """Return what looking for a batch came to whose `submit` did not return."""

    async def status(self, batch_id: str) -> BatchStatus:
        """Return how far a batch is."""

    def lines(self, batch_id: str) -> AsyncGenerator[BatchLine, None]:
        """Yield what came of each call of a batch that has ended, in any order; calls may be missing."""

    async def cancel(self, batch_id: str) -> None:
        """Ask the provider to stop; what has ended by then is charged and can be read."""

    async def forget(self, batch_id: str) -> None:
        """Delete at the provider what an ended batch was made of and what it came to; done where it is gone already.

        Raises: `ProviderRejected` where it cannot be deleted there.
        """


async def unless_gone(deleting: Awaitable[object]) -> None:
    """Wait for a deletion; what is not there needs none. Raises: `ProviderError`."""
    try:
        await deleting
    except ProviderError as error:
        if error.status != NOT_FOUND:
            raise
