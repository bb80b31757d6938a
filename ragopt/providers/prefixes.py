"""Which beginnings of prompts a provider is asked to cache: those that are long enough, and read often enough to pay.

Writing a beginning costs more than sending it, reading it costs less. With the share p of calls that find it, it pays
where p·read + (1 - p)·write < 1, which is p > (write - 1) / (write - read). Source: that is what a call costs on
average; the factors are the price table's, the share is estimated from the calls of this process.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import accumulate
from typing import TypeVar

from ragopt.domain import Question, Usage
from ragopt.money.prices import Priced, Prices, priced
from ragopt.providers.capabilities import Capabilities
from ragopt.providers.deployment import Deployment
from ragopt.providers.layout import STABLE, Prompt, digests_of
from ragopt.providers.protocol import CacheMarks
from ragopt.tokens import count_tokens_batch

K = TypeVar("K")
V = TypeVar("V")

MAX_KEPT = 50_000
# Before anything is known a beginning is as likely read as not; two calls' worth of doubt.
PRIOR_READ, PRIOR_CALLS = 1.0, 2.0
# Each call counts this much less with the next one: about the last twenty decide.
DECAY = 0.95
# Above it a provider spreads one beginning over several machines. Source: OpenAI, prompt caching guide.
CALLS_PER_MINUTE_AND_KEY = 15
HOUR_S = 3_600
SAMPLE_TOKENS = 1_000


@dataclass(frozen=True, slots=True)
class Factors:
    """What a token costs of an uncached one where it is read, and where it is written, by lifetime in seconds."""

    read: float
    write: Mapping[int, float]


@dataclass(slots=True)
class Share:
    """How many of the latest calls found a beginning again within each lifetime."""

    calls: float = PRIOR_CALLS
    found: dict[int, float] = field(default_factory=dict)

    def add(self, age_s: float | None, lifetimes_s: Sequence[int]) -> None:
        """Count a call that found the beginning at this age, or not at all."""
        self.calls = self.calls * DECAY + 1
        for lifetime in lifetimes_s:
            again = age_s is not None and age_s < lifetime
            self.found[lifetime] = self.found.get(lifetime, PRIOR_READ) * DECAY + again

    def of(self, lifetime_s: int) -> float:
        """Return the share, in [0, 1]."""
        return self.found.get(lifetime_s, PRIOR_READ) / self.calls


class PrefixPlanner:
    """Decides call by call. It sees the calls of this process alone; another process learns for itself."""

    def __init__(self, prices: Prices, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._prices = prices
        self._clock = clock
        self._seen: OrderedDict[Hashable, float] = OrderedDict()
        self._shares: OrderedDict[Hashable, Share] = OrderedDict()
        self._minutes: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def plan(self, deployment: Deployment, prompt: Prompt, *, question: Question) -> CacheMarks:
        """Return where the prompt is to be cached; counts the call."""
        takes = deployment.capabilities
        if takes.prompt_caching == "none":
            return CacheMarks()
        scope = (deployment.name, question.tenant, question.collection)
        key = "" if takes.prompt_caching == "cache_control" else self._key(scope, prompt, question)
        if not takes.cache_lifetimes_s:
            return CacheMarks(key=key)
        places = long_enough(prompt, takes)
        stable = [at for at in places if prompt.segments[at].part in STABLE][-1:]
        later = [at for at in places if at not in stable]
        digests = digests_of(prompt.segments)
        shared = self._shared((scope, digests[stable[-1] + 1]), takes) if stable else None
        own = self._continued(scope, [digests[at + 1] for at in later], takes) if later else None
        lifetimes = {
            **dict.fromkeys(stable, self._lifetime(deployment, shared)),
            **dict.fromkeys(repeated(later, takes), self._lifetime(deployment, own)),
        }
        return CacheMarks(descending(lifetimes), key)

    def _shared(self, name: Hashable, takes: Capabilities) -> Share:
        """Return how often a stable beginning is found, this call counted."""
        share = self._share(name)
        share.add(self._age(name), takes.cache_lifetimes_s)
        self._see(name)
        return share

    def _continued(self, scope: Hashable, digests: Sequence[str], takes: Capabilities) -> Share:
        """Return how often a conversation's beginning is found by its next turn, this call counted."""
        share = self._share((scope, "conversation"))
        ages = [age for digest in digests[:-1] if (age := self._age((scope, digest))) is not None]
        share.add(min(ages, default=None), takes.cache_lifetimes_s)
        self._see((scope, digests[-1]))
        return share

    def _lifetime(self, deployment: Deployment, share: Share | None) -> int | None:
        """Return the lifetime at which caching costs least, None where not caching does."""
        factors = self._factors(priced(deployment), deployment.capabilities)
        if share is None or factors is None:
            return None
        costs = {
            lifetime: share.of(lifetime) * factors.read + (1 - share.of(lifetime)) * write
            for lifetime, write in factors.write.items()
        }
        best = min(costs, key=lambda lifetime: costs[lifetime])
        return best if costs[best] < 1 else None

    def _factors(self, model: Priced, takes: Capabilities) -> Factors | None:
        """Return the model's factors, None where its price is not known."""
        plain = self._cost(model, Usage(input_tokens=SAMPLE_TOKENS))
        read = self._cost(model, Usage(cached_input_tokens=SAMPLE_TOKENS))
        written = self._cost(model, Usage(cache_write_tokens=SAMPLE_TOKENS))
        written_1h = self._cost(model, Usage(cache_write_1h_tokens=SAMPLE_TOKENS))
        if not plain or read is None or written is None or written_1h is None:
            return None
        write = {
            lifetime: float((written_1h if lifetime >= HOUR_S else written) / plain)
            for lifetime in takes.cache_lifetimes_s
        }
        return Factors(float(read / plain), write)

    def _cost(self, model: Priced, usage: Usage) -> Decimal | None:
        return self._prices.cost(model, usage)

    def _key(self, scope: tuple[str, str, str], prompt: Prompt, question: Question) -> str:
        """Return the routing key: of tenant, collection and stable beginning, sharded by conversation where it is busy.

        A shard more than is needed costs a write; a shard too few, and the provider spreads the calls by chance.
        """
        base = hashlib.sha256("/".join((*scope, prompt.version, prompt.prefix_digest())).encode()).hexdigest()[:32]
        minute = int(self._clock() // 60)
        at, calls, before = self._minutes.pop(base, (minute, 0, 0))
        if at != minute:
            before, calls = (calls if at == minute - 1 else 0), 0
        self._minutes[base] = (minute, calls + 1, before)
        drop_oldest(self._minutes)
        shards = 1
        while shards * CALLS_PER_MINUTE_AND_KEY < before:
            shards *= 2
        opening = question.history[0].content if question.history else question.text
        shard = int.from_bytes(hashlib.sha256(opening.encode("utf-8", "surrogatepass")).digest()[:4]) % shards
        return f"{base}-{shard}"

    def _share(self, name: Hashable) -> Share:
        share = self._shares.pop(name, None) or Share()
        self._shares[name] = share
        drop_oldest(self._shares)
        return share

    def _age(self, name: Hashable) -> float | None:
        seen = self._seen.get(name)
        return None if seen is None else self._clock() - seen

    def _see(self, name: Hashable) -> None:
        self._seen.pop(name, None)
        self._seen[name] = self._clock()
        drop_oldest(self._seen)


def drop_oldest(kept: OrderedDict[K, V]) -> None:
    """Forget the oldest entries beyond the most that are kept."""
    while len(kept) > MAX_KEPT:
        kept.popitem(last=False)


def long_enough(prompt: Prompt, takes: Capabilities) -> list[int]:
    """Return the places of breakpoints up to which the prompt has the model's shortest prefix, ascending."""
    places = prompt.breakpoints()
    texts = [segment.text for segment in prompt.segments[: places[-1] + 1]] if places else []
    ends = list(accumulate(count_tokens_batch(texts)))
    return [at for at in places if ends[at] >= takes.min_cache_tokens]


def repeated(places: Sequence[int], takes: Capabilities) -> Sequence[int]:
    """Return the places of a conversation to mark: the last, and those before it where they are not found from it.

    What was written at them is read then; where nothing was, they cost nothing, for the last is written anyway.
    """
    return places[-1:] if takes.cache_lookback else places[-(takes.cache_marks - 1) :]


def descending(lifetimes: Mapping[int, int | None]) -> dict[int, int]:
    """Return the places with a lifetime, in order, none with a longer one than those before: providers refuse that."""
    found: dict[int, int] = {}
    for at, lifetime in sorted(lifetimes.items()):
        if lifetime is not None:
            found[at] = min(lifetime, *found.values()) if found else lifetime
    return found
