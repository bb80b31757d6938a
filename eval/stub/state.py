"""What the stub was told and what it remembers."""

from __future__ import annotations

import hashlib
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from eval.stub.asking import Ask, Json
from eval.stub.caching import PromptCache
from eval.stub.limiting import RateLimiter

PREFIX_BYTES = 1024
KEPT_CALLS = 5_000


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What a batch may hold; the providers' own limits. Source: openai 3.52.0, anthropic 2.11.0, batch parameters."""

    openai_requests: int = 50_000
    openai_bytes: int = 200 * 1024 * 1024
    anthropic_requests: int = 100_000
    anthropic_bytes: int = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class StubOptions:
    """How the whole server behaves.

    fault: of a request that names none. answer: instead of the stub's own. delay_ms: before the first byte of each
    answer, slow_ms: that of the fault `slow`. tokens_per_s: how fast an answer streams, None for at once.
    context_tokens: the window of every model, None for its own. requests_per_minute, tokens_per_minute: limits of
    each key and model. batch_s: how long a batch takes.
    """

    fault: str = "ok"
    answer: str | None = None
    delay_ms: float = 0
    slow_ms: float = 500
    tokens_per_s: float | None = None
    context_tokens: int | None = None
    requests_per_minute: int = 10_000_000
    tokens_per_minute: int = 1_000_000_000
    batch_s: float = 1.0
    batch_limits: BatchLimits = field(default_factory=BatchLimits)


@dataclass(slots=True)
class SeenCall:
    """One request, in the order of arrival.

    prefix_sha256: of the prompt's first 1,024 bytes. account: stands for the key, which is not kept. at_s: on the
    stub's clock. first_byte_ms, ended_ms: since arrival, None until then; left_ms: when the client hung up, None if it
    did not. port: the client's, one per connection. usage: what was reported.
    """

    n: int
    dialect: str
    path: str
    model: str
    stream: bool
    fault: str
    prompt_bytes: int
    prompt_tokens: int
    prefix_sha256: str
    account: str
    port: int
    at_s: float
    body: Json
    status: int = 200
    usage: Json | None = None
    first_byte_ms: float | None = None
    ended_ms: float | None = None
    left_ms: float | None = None
    client_disconnected: bool = False
    method: str = "POST"

    @property
    def authorized(self) -> bool:
        """Return whether the request had a key."""
        return bool(self.account)


@dataclass(frozen=True, slots=True)
class Step:
    """What to do to one coming request: the next one of this dialect and model, where they are given."""

    fault: str = "ok"
    answer: str | None = None
    delay_ms: float | None = None
    dialect: str | None = None
    model: str | None = None

    def fits(self, dialect: str, model: str) -> bool:
        """Return whether the step is meant for a request."""
        return self.dialect in (None, dialect) and self.model in (None, model)


@dataclass(slots=True)
class StubState:
    """One running stub.

    abort: breaks the connection of a client by its port. open, most_open: requests at a time. asked_in_batches: the
    custom ids of all calls of all batches, in the order of their submission.
    """

    options: StubOptions
    calls: deque[SeenCall] = field(default_factory=lambda: deque(maxlen=KEPT_CALLS))
    steps: list[Step] = field(default_factory=list)
    cache: PromptCache = field(default_factory=PromptCache)
    numbers: count[int] = field(default_factory=lambda: count(1))
    advanced_s: float = 0
    asked_in_batches: list[str] = field(default_factory=list)
    open: int = 0
    most_open: int = 0
    total: int = 0
    abort: Callable[[int], None] = lambda _: None
    limiter: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.limiter = RateLimiter(self.options.requests_per_minute, self.options.tokens_per_minute)

    def now(self) -> float:
        """Return the stub's time in Unix seconds: the machine's, and what it was advanced by."""
        return time.time() + self.advanced_s

    def next_step(self, dialect: str, model: str, *, named: bool = False) -> Step | None:
        """Return the first planned step for a request and forget it; None for none.

        named: whether it must name the model: requests in a batch take no step that was planned for any.
        """
        for at, step in enumerate(self.steps):
            if step.fits(dialect, model) and (step.model or not named):
                return self.steps.pop(at)
        return None

    def enter(self) -> None:
        """Count a request in."""
        self.total += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)


@dataclass(slots=True)
class CallWatch:
    """Writes what happens to a response into its record; a request that could not be read has none."""

    state: StubState
    call: SeenCall | None
    start_s: float = field(default_factory=time.perf_counter)

    def began(self) -> None:
        """Note the first byte."""
        if self.call:
            self.call.first_byte_ms = self._since()

    def ended(self) -> None:
        """Count the request out."""
        self.state.open -= 1
        if self.call:
            self.call.ended_ms = self._since()

    def left(self) -> None:
        """Note that the client hung up."""
        if self.call:
            self.call.left_ms = self._since()
            self.call.client_disconnected = True

    def _since(self) -> float:
        return round(1000 * (time.perf_counter() - self.start_s), 3)


def prompt_digest(ask: Ask) -> tuple[int, str]:
    """Return the prompt's bytes, and the sha256 of its first 1,024: equal where a prompt cache would match."""
    prompt = "\n".join(f"{block.role}: {block.text}" for block in ask.blocks).encode()
    return len(prompt), hashlib.sha256(prompt[:PREFIX_BYTES]).hexdigest()


def account_of(headers: Mapping[str, str]) -> str:
    """Return what stands for the request's key in logs and scopes, "" without one."""
    key = headers.get("authorization", "").removeprefix("Bearer ") or headers.get("x-api-key", "")
    return hashlib.sha256(key.encode()).hexdigest()[:12] if key else ""
