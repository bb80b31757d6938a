"""Usage that a provider did not report, and usage of several attempts."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from ragopt.domain import Usage
from ragopt.providers.protocol import Prompt
from ragopt.tokens import count_tokens

# What a chat format adds around each message, and once per reply.
# Source: OpenAI cookbook, "How to count tokens with tiktoken".
TOKENS_PER_MESSAGE = 3
TOKENS_PER_REPLY = 3


def estimated_usage(prompt: Prompt, answer: str) -> Usage:
    """Return the usage of a call in o200k_base tokens, none of it cached, marked as estimated; no price."""
    messages = (prompt.system, *(turn.content for turn in prompt.history), prompt.user)
    text_tokens = sum(count_tokens(message) for message in messages)
    return Usage(
        input_tokens=text_tokens + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_REPLY,
        output_tokens=count_tokens(answer),
        estimated=True,
    )


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
    )
