"""Usage as the providers report it, in disjoint buckets; usage they did not report; sums.

Both providers bill reasoning as output. OpenAI's `prompt_tokens` include what was cached or written
and Anthropic's `input_tokens` exclude it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import lru_cache

from ragopt.domain import Usage
from ragopt.providers.layout import BETWEEN_SEGMENTS, Prompt
from ragopt.tokens import count_tokens

# What a chat format adds around each message, and once per reply.
# Source: OpenAI cookbook, "How to count tokens with tiktoken".
TOKENS_PER_MESSAGE = 3
TOKENS_PER_REPLY = 3
# What an attempt used that failed before it used anything: its cost is known.
NOTHING_USED = Usage(cost_usd=Decimal(0))
# About twice what a prompt of the default budget has.
QUICK_CHARS = 10_000

# Where servers of OpenAI's dialect put what was read from the cache. Source: openai 3.52.0,
# `types/completion_usage.py`; api-docs.deepseek.com, kv_cache; genai-prices 0.2.3, extractors of the `chat` flavour.
CACHED_PATHS = (("prompt_tokens_details", "cached_tokens"), ("prompt_cache_hit_tokens",), ("cached_tokens",))


def openai_usage(reported: Mapping[str, object]) -> Usage | None:
    """Return the usage of a Chat Completions `usage` object, None if it lacks the two main counts.

    Some servers (xAI, Gemini's) count reasoning apart from `completion_tokens`, which shows in a
    `total_tokens` that is the sum of all three: then it is added, for it is billed as output.
    """
    prompt, completion = count_at(reported, "prompt_tokens"), count_at(reported, "completion_tokens")
    if prompt is None or completion is None:
        return None
    found = (count_at(reported, *path) for path in CACHED_PATHS)
    cached = min(prompt, next((count for count in found if count is not None), 0))
    written = min(prompt - cached, count_at(reported, "prompt_tokens_details", "cache_write_tokens") or 0)
    reasoning = count_at(reported, "completion_tokens_details", "reasoning_tokens") or 0
    apart = reasoning > 0 and count_at(reported, "total_tokens") == prompt + completion + reasoning
    output = completion + reasoning if apart else completion
    return Usage(
        input_tokens=prompt - cached - written,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
        reasoning_tokens=min(reasoning, output),
    )


def anthropic_usage(reported: Mapping[str, object]) -> Usage | None:
    """Return the usage of a Messages `usage` object, None if it lacks the two main counts.

    What was written and is not in the breakdown by lifetime was written for five minutes.
    """
    fresh, output = count_at(reported, "input_tokens"), count_at(reported, "output_tokens")
    if fresh is None or output is None:
        return None
    written_1h = count_at(reported, "cache_creation", "ephemeral_1h_input_tokens") or 0
    written_5m = count_at(reported, "cache_creation", "ephemeral_5m_input_tokens") or 0
    written = count_at(reported, "cache_creation_input_tokens") or 0
    return Usage(
        input_tokens=fresh,
        cached_input_tokens=count_at(reported, "cache_read_input_tokens") or 0,
        cache_write_tokens=max(written_5m, written - written_1h),
        output_tokens=output,
        cache_write_1h_tokens=written_1h,
        reasoning_tokens=min(output, count_at(reported, "output_tokens_details", "thinking_tokens") or 0),
    )


def count_at(reported: Mapping[str, object], *path: str) -> int | None:
    """Return the count at a path of nested objects, None where there is none; a negative one is none."""
    value: object = reported
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def estimated_usage(prompt: Prompt, answer: str) -> Usage:
    """Return the usage of a call in o200k_base tokens, none of it cached, marked as estimated; no price."""
    return Usage(input_tokens=prompt_tokens(prompt), output_tokens=count_tokens(answer), estimated=True)


@lru_cache(maxsize=64)
def prompt_tokens(prompt: Prompt) -> int:
    """Return the o200k_base tokens of a prompt; the budget, the limits and the savings of one call all ask."""
    # Segment by segment, as an answer tells them: each is remembered. Joined they have as many tokens or a few less.
    texts = sum(count_tokens(segment.text) for segment in prompt.segments)
    messages = len(prompt.messages())
    joints = len(prompt.segments) - messages
    return texts + joints * count_tokens(BETWEEN_SEGMENTS) + TOKENS_PER_MESSAGE * messages + TOKENS_PER_REPLY


async def counted_tokens(prompt: Prompt) -> int:
    """Return `prompt_tokens(prompt)`: of a long prompt counted in a thread, of a short one in half a millisecond."""
    if prompt.chars <= QUICK_CHARS:
        return prompt_tokens(prompt)
    return await asyncio.to_thread(prompt_tokens, prompt)


def total_usage(usages: Sequence[Usage]) -> Usage:
    """Return the sum of every bucket; the cost is None as soon as one cost is; the zero usage for none."""
    costs = [usage.cost_usd for usage in usages if usage.cost_usd is not None]
    return Usage(
        input_tokens=sum(usage.input_tokens for usage in usages),
        cached_input_tokens=sum(usage.cached_input_tokens for usage in usages),
        cache_write_tokens=sum(usage.cache_write_tokens for usage in usages),
        output_tokens=sum(usage.output_tokens for usage in usages),
        cost_usd=sum(costs, Decimal(0)) if len(costs) == len(usages) else None,
        estimated=any(usage.estimated for usage in usages),
        cache_write_1h_tokens=sum(usage.cache_write_1h_tokens for usage in usages),
        reasoning_tokens=sum(usage.reasoning_tokens for usage in usages),
    )
