"""What is kept of a batch while it runs: its requests, the calls they share, the provider's batches, the results."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from pydantic import TypeAdapter

from indexes.access import ANYONE, Reader
from ragopt.domain import Answer, Attempt, CacheOutcome, Context, Question, Usage
from ragopt.providers.deployment import Flaw
from ragopt.providers.layout import Prompt
from ragopt.providers.protocol import Stop
from ragopt.results import History, Prepared
from ragopt.state.budgets import Hold

T = TypeVar("T")
ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}

BatchState: TypeAlias = Literal["queued", "running", "done", "cancelled", "failed"]
# How a request got its answer; `none` where it failed.
Served: TypeAlias = Literal["batch", "live", "cache", "duplicate", "none"]
CallState: TypeAlias = Literal["waiting", "sent", "live", "done"]
# "read": all that it came to is counted and kept, and the provider has it still.
PartState: TypeAlias = Literal["planned", "sending", "sent", "read", "closed"]


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One request as it was accepted; its question has the id of its answer."""

    custom_id: str
    question: Question


@dataclass(frozen=True, slots=True)
class Terms:
    """What a batch was accepted as.

    created_at, deadline_at: Unix seconds; None for no deadline. live: whether what the providers' batches leave
    undone is asked live. total: requests. reader: who may read all that its answers are made of. key_id: of the API key
    that it came with.
    """

    tenant: str
    collection: str
    created_at: float
    deadline_at: float | None
    live: bool
    total: int
    reader: Reader = ANYONE
    key_id: str = ""


@dataclass(frozen=True, slots=True)
class Half:
    """The first half of a request's answer."""

    context: Context
    prompt: Prompt
    outcome: CacheOutcome
    keeps: bool
    history: History

    def prepared(self, question: Question) -> Prepared:
        """Return the half as the pipeline goes on with it."""
        return Prepared(
            question, self.context, self.prompt, outcome=self.outcome, keeps=self.keeps, history=self.history
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Which call is to be made for a request.

    key: equal for requests that one call answers. chain: the deployments to ask, by name: the first one, then those
    of higher tiers, each of which is asked if what the one before said is not good enough. reason, score: of the
    plan. gated: whether the quality gate judges what a model said that has another one behind it.
    """

    key: str
    chain: tuple[str, ...]
    reason: str
    score: float | None
    gated: bool = True


@dataclass(frozen=True, slots=True)
class Try:
    """One call that was made in a batch; usage: with its cost, None where nothing was charged.

    text: an answer that was rejected, else ""; flaw: what is wrong with it; stop: why it ended. error: code and
    sentence where it failed.
    """

    attempt: Attempt
    usage: Usage | None = None
    text: str = ""
    error: tuple[str, str] | None = None
    flaw: Flaw | None = None
    stop: Stop = "end"


@dataclass(frozen=True, slots=True)
class SharedCall:
    """One model call, and the requests that it answers, by their numbers.

    step: the place in the chain that is asked now. tries: what was asked before. hold: the money that is held for
    it, from before it is held until it is settled. state: `waiting` to be put into a provider's batch, `sent` with
    one, `live` to be asked live, `done`. lesser: whether a spent budget chose the model. gated: as its place says.
    mends: the step at which a model is asked to mend what it wrote in the one before, 0 for none.
    """

    key: str
    items: tuple[int, ...]
    chain: tuple[str, ...]
    reason: str
    score: float | None
    step: int = 0
    tries: tuple[Try, ...] = ()
    hold: Hold | None = None
    state: CallState = "waiting"
    lesser: bool = False
    gated: bool = True
    mends: int = 0

    @property
    def name(self) -> str:
        """Return what tells the call of this step from every other one of the batch."""
        return f"{self.key}-{self.step}"

    @property
    def deployment(self) -> str:
        """Return the name of the deployment that is asked now."""
        return self.chain[self.step]

    @property
    def draft(self) -> Try | None:
        """Return the answer that the model is asked to mend now, None where it is asked afresh."""
        return self.tries[self.step - 1] if self.step and self.step == self.mends else None

    @property
    def corrections(self) -> int:
        """Return how often a model was asked to mend its answer."""
        return int(0 < self.mends < len(self.tries))


@dataclass(frozen=True, slots=True)
class Part:
    """One batch of a provider, with the keys of its calls.

    names: of the calls as they were sent. asked_at: Unix seconds at which its submission began, 0 before. id: the
    provider's, "" while it is not known. done: calls that the provider has ended. left: whether nobody waits for it
    any more, so that it is read for what it cost alone.
    """

    number: int
    deployment: str
    keys: tuple[str, ...]
    names: tuple[str, ...]
    state: PartState = "planned"
    asked_at: float = 0
    id: str = ""
    done: int = 0
    left: bool = False


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What became of one request: an answer, or the code and the sentence of what it failed with."""

    custom_id: str
    answer: Answer | None
    served: Served
    error: tuple[str, str] | None = None
    duplicate_of: str = ""


@dataclass(frozen=True, slots=True)
class BatchInfo:
    """A batch as its owner sees it.

    ended_at: Unix seconds, None while it runs. cost_nano: what its calls have cost so far. counts: of results by
    how they were served, and `prepared`. parts: the providers' batches.
    """

    id: str
    terms: Terms
    state: BatchState
    cancelled: bool = False
    error: str = ""
    ended_at: float | None = None
    cost_nano: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    parts: tuple[Part, ...] = ()

    @property
    def finished(self) -> int:
        """Return how many requests have their result."""
        return sum(self.counts.get(served, 0) for served in ("batch", "live", "cache", "duplicate", "none"))


def adapter(kind: type[T]) -> TypeAdapter[T]:
    """Return the one reader and writer of a record; building it takes milliseconds."""
    if kind not in ADAPTERS:
        ADAPTERS[kind] = TypeAdapter(kind)
    return ADAPTERS[kind]


def packed(record: object) -> bytes:
    """Return a record as it is stored."""
    return zlib.compress(adapter(record.__class__).dump_json(record), level=1)


def unpacked(kind: type[T], stored: bytes) -> T:
    """Return the record that `packed` wrote. Raises: `ValueError` if it is none."""
    return adapter(kind).validate_json(zlib.decompress(stored))
