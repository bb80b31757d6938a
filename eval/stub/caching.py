"""The prompt caches of both providers, as documented: what is read, what is written, how long it lives.

- Anthropic: at marked blocks alone, at most 20 blocks back from a mark; lifetimes of 5 minutes and an
  hour, refreshed by each read. Source: platform.claude.com, build-with-claude/prompt-caching.
- OpenAI up to GPT-5.5: any equal beginning of at least 1,024 tokens, in steps of 128.
- OpenAI from GPT-5.6 on: at marks alone, and at the end of the newest message unless told otherwise;
  not rounded. Source: developers.openai.com/api/docs/guides/prompt-caching; openai 3.52.0.

What is written can be read once the response that wrote it has begun. OpenAI's spill to other machines
above some 15 requests a minute is left out: it would make no two runs alike.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

from eval.stub.asking import Ask, Block
from ragopt.providers.capabilities import Capabilities

STEP_TOKENS = 128
AUTOMATIC_TTL_S = 600
BREAKPOINT_TTL_S = 1800
HOUR_S = 3600
LOOKBACK_BLOCKS = 20
MATCHED_BREAKPOINTS = 80
WRITES = 4
MAX_ENTRIES = 200_000


@dataclass(frozen=True, slots=True)
class CacheUse:
    """Tokens of one prompt that were read from the cache, and written for the shorter and the longer lifetime."""

    read: int = 0
    written: int = 0
    written_1h: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A cached prefix: when it can be read, until when, and by how much a read prolongs it, in seconds."""

    readable_at: float
    expires_at: float
    ttl_s: float


@dataclass(frozen=True, slots=True)
class Visit:
    """What a prompt does to the cache: its use, the entry it prolongs, and prefixes to keep, each for some seconds."""

    use: CacheUse
    hit: bytes | None = None
    writes: tuple[tuple[bytes, float], ...] = ()


@dataclass(slots=True)
class PromptCache:
    """All cached prefixes by their digest, which covers account, model and key."""

    entries: dict[bytes, Entry] = field(default_factory=dict)

    def visit(self, ask: Ask, capabilities: Capabilities, *, scope: str, now: float) -> Visit:
        """Return what the prompt would read and write; changes nothing."""
        if capabilities.prompt_caching == "automatic":
            return self._automatic(ask, capabilities, scope=scope, now=now)
        if capabilities.prompt_caching == "breakpoints":
            return self._breakpoints(ask, capabilities, scope=scope, now=now)
        if capabilities.prompt_caching == "cache_control":
            return self._cache_control(ask, capabilities, scope=scope, now=now)
        return Visit(CacheUse())

    def commit(self, visit: Visit, *, now: float, readable_at: float) -> None:
        """Keep what a prompt wrote, and prolong what it read."""
        if visit.hit is not None:
            entry = self.entries[visit.hit]
            self.entries[visit.hit] = Entry(entry.readable_at, now + entry.ttl_s, entry.ttl_s)
        for key, ttl_s in visit.writes:
            known = self.entries.get(key)
            ready = known.readable_at if known and known.expires_at > now else readable_at
            self.entries[key] = Entry(ready, now + ttl_s, ttl_s)
        if len(self.entries) > MAX_ENTRIES:
            self.entries = {key: entry for key, entry in self.entries.items() if entry.expires_at > now}

    def _alive(self, key: bytes, *, now: float) -> bool:
        entry = self.entries.get(key)
        return entry is not None and entry.readable_at <= now < entry.expires_at

    def _automatic(self, ask: Ask, capabilities: Capabilities, *, scope: str, now: float) -> Visit:
        keys = list(token_prefixes(ask.blocks, f"{scope}/{ask.cache_key}", first=capabilities.min_cache_tokens))
        found = next((at for at in reversed(range(len(keys))) if self._alive(keys[at], now=now)), None)
        ttl_s = float(ask.retention_s or AUTOMATIC_TTL_S)
        read = 0 if found is None else capabilities.min_cache_tokens + found * STEP_TOKENS
        return Visit(CacheUse(read=read), writes=tuple((key, ttl_s) for key in keys))

    def _breakpoints(self, ask: Ask, capabilities: Capabilities, *, scope: str, now: float) -> Visit:
        keys, ends = block_prefixes(ask.blocks, f"{scope}/{ask.cache_key}")
        marked = [at for at, block in enumerate(ask.blocks) if block.cache_ttl is not None]
        last = len(ask.blocks) - 1
        candidates, written = marked, marked[-WRITES:]
        if not ask.explicit_only:
            messages = {at for at, block in enumerate(ask.blocks) if block.ends_message}
            candidates = sorted({*marked, *messages})
            written = sorted({last, *[at for at in marked if at != last][-(WRITES - 1) :]})
        matched = reversed(candidates[-MATCHED_BREAKPOINTS:])
        hit = next((at for at in matched if self._alive(keys[at], now=now)), None)
        read = 0 if hit is None else ends[hit]
        fresh = [at for at in written if ends[at] > read and ends[at] >= capabilities.min_cache_tokens]
        return Visit(
            CacheUse(read=read, written=ends[fresh[-1]] - read if fresh else 0),
            hit=None if hit is None else keys[hit],
            writes=tuple((keys[at], float(ask.blocks[at].cache_ttl or BREAKPOINT_TTL_S)) for at in fresh),
        )

    def _cache_control(self, ask: Ask, capabilities: Capabilities, *, scope: str, now: float) -> Visit:
        keys, ends = block_prefixes(ask.blocks, scope)
        ttls = {at: block.cache_ttl for at, block in enumerate(ask.blocks) if block.cache_ttl is not None}
        if ask.at_end_ttl is not None:
            ttls.setdefault(len(ask.blocks) - 1, ask.at_end_ttl)
        seen = {at for mark in ttls for at in range(max(0, mark - LOOKBACK_BLOCKS + 1), mark + 1)}
        hit = max((at for at in seen if self._alive(keys[at], now=now)), default=None)
        read = 0 if hit is None else ends[hit]
        fresh = [at for at in sorted(ttls) if ends[at] > read and ends[at] >= capabilities.min_cache_tokens]
        hour_end = max((ends[at] for at in fresh if ttls[at] == HOUR_S), default=read)
        last_end = max((ends[at] for at in fresh), default=read)
        return Visit(
            CacheUse(read=read, written=max(0, last_end - hour_end), written_1h=hour_end - read),
            hit=None if hit is None else keys[hit],
            writes=tuple((keys[at], float(ttls[at])) for at in fresh),
        )


def block_prefixes(blocks: Sequence[Block], scope: str) -> tuple[list[bytes], list[int]]:
    """Return for each block the digest of the prompt up to its end, and how many tokens that is."""
    digest = hashlib.sha256(scope.encode())
    keys = []
    for block in blocks:
        digest.update(block.digest)
        keys.append(digest.digest())
    return keys, list(accumulate(len(block.token_ids) for block in blocks))


def token_prefixes(blocks: Iterable[Block], scope: str, *, first: int) -> Iterator[bytes]:
    """Yield the digest of the first 1,024 tokens, of the first 1,152, and so on; the rest of the tokens has none."""
    ids = array("i", (token for block in blocks for token in block.token_ids))
    digest = hashlib.sha256(scope.encode())
    start = 0
    for end in range(first, len(ids) + 1, STEP_TOKENS):
        digest.update(ids[start:end].tobytes())
        start = end
        yield digest.digest()
