"""A configured model with the provider that serves it, and the order in which to try several."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from ragopt.domain import TIER_RANK, Context, Tier
from ragopt.providers.capabilities import Capabilities, Effort
from ragopt.providers.layout import Prompt
from ragopt.providers.protocol import NO_MARKS, CacheMarks, CompletionRequest, Provider
from ragopt.results import Prepared, Shortened
from ragopt.settings.models import PriceSettings
from ragopt.telemetry import Trace


@dataclass(frozen=True, slots=True)
class Deployment:
    """One `[[models]]` entry, ready to call.

    name: what the API calls it. model: the provider's name for it. timeout_s: of one whole call.
    price: USD per million tokens where the price table is overridden. capabilities: what the model takes.
    effort: how much it is to reason, None for its default. rpm, tpm: requests and tokens per minute, and
    max_concurrent: calls at once, None for no limit of ours. group: those of one group share their calls.
    base_url: where it is served, None at its provider. regions: where its calls are processed, () where that is not
    known.
    """

    name: str
    provider: Provider
    model: str
    tier: Tier
    timeout_s: float
    price: PriceSettings | None = None
    capabilities: Capabilities = field(default_factory=Capabilities)
    effort: Effort | None = None
    rpm: int | None = None
    tpm: int | None = None
    max_concurrent: int | None = None
    group: str = ""
    base_url: str | None = None
    regions: tuple[str, ...] = ()

    def request(
        self, prompt: Prompt, context: Context, *, max_output_tokens: int, cache: CacheMarks = NO_MARKS
    ) -> CompletionRequest:
        """Return the call of this deployment with a prompt, which was made from `context`.

        cache: where its provider is to cache the prompt.
        """
        return CompletionRequest(
            model=self.model,
            prompt=prompt,
            context=context,
            max_output_tokens=max_output_tokens,
            timeout_s=self.timeout_s,
            capabilities=self.capabilities,
            effort=self.effort,
            cache=cache,
        )


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a draft, in a sentence. unsupported: how many of its claims nothing supports.

    correction: what the model that wrote it is asked to mend; "" where only another model can help. unusable: whether
    an error is better than the draft. final: whether no other model is to be asked.
    """

    detail: str
    correction: str = ""
    unsupported: int = 0
    unusable: bool = False
    final: bool = False


class Gate(Protocol):
    """Judges a cheap model's answer before it is released."""

    def ready(self, text: str) -> bool:
        """Return whether so much of a stream can be judged."""

    async def flaw(self, text: str, prepared: Prepared, *, ended: bool, trace: Trace) -> Flaw | None:
        """Return what is wrong with the answer, or with its opening where it has not ended; None if nothing is."""


class Inspection(Protocol):
    """Judges whole answers where the collection or the request asks that none is released unjudged."""

    @property
    def corrects(self) -> bool:
        """Return whether the model is asked once to mend what is wrong."""

    @property
    def escalates(self) -> bool:
        """Return whether a model of a higher tier is asked next."""

    @property
    def abstains(self) -> bool:
        """Return whether the answer is the abstention where none passes; else it is the best draft."""

    async def flaw(self, text: str, prepared: Prepared, *, trace: Trace) -> Flaw | None:
        """Return what is wrong with a whole answer; None if nothing is."""


Inspect: TypeAlias = Callable[[Prepared], Inspection | None]
"""A prepared answer to what has to pass before any of it is released; None where nothing has to."""


Shorten: TypeAlias = Callable[[Prepared], Awaitable[Shortened | None]]
"""A prompt that did not fit a window to a shorter one, None where there is nothing to leave out."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The deployments to try, first choice first, never empty; why, in a sentence; the difficulty in [0, 1] or None.

    gate: judges the answers of deployments that have one of a higher tier behind them; None: no cascade.
    """

    deployments: tuple[Deployment, ...]
    reason: str
    score: float | None = None
    gate: Gate | None = None


Planner: TypeAlias = Callable[[Prepared], Plan]
"""A question with its context to a plan. Raises `UnknownModel`, `ModelNotAllowed`."""


def above(one: Deployment, other: Deployment) -> bool:
    """Return whether `one` is of a higher tier than `other`."""
    return TIER_RANK[one.tier] > TIER_RANK[other.tier]


def first_of_each_tier(deployments: Iterable[Deployment]) -> list[Deployment]:
    """Return the first deployment of each tier, the dearest tier first."""
    found: dict[Tier, Deployment] = {}
    for deployment in deployments:
        found.setdefault(deployment.tier, deployment)
    return sorted(found.values(), key=lambda deployment: -TIER_RANK[deployment.tier])
