"""What each model takes and how it caches: facts of the model, not of the provider.

Prices are not here (`ragopt.money.prices`), and nothing here is needed to make a plain call: a model
that no row names gets the behaviour that every server of its dialect understands.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar, get_args

T = TypeVar("T")

PromptCaching: TypeAlias = Literal["none", "automatic", "breakpoints", "cache_control"]
Effort: TypeAlias = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
OutputLimit: TypeAlias = Literal["max_tokens", "max_completion_tokens"]

EFFORTS: tuple[Effort, ...] = get_args(Effort)
OPENAI_MIN_CACHE_TOKENS = 1024
# Source: openai 3.52.0, `types/chat/completion_create_params.py`: prompt_cache_options; platform.claude.com, prompt
# caching: both write four marks a call; Chat Completions keeps them 30 minutes, Messages 5 minutes or an hour.
MAX_CACHE_MARKS = 4
OPENAI_CACHE_LIFETIMES_S = (1_800,)
ANTHROPIC_CACHE_LIFETIMES_S = (300, 3_600)
ANTHROPIC_LOOKBACK_BLOCKS = 20


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one model takes.

    streaming: answers as a stream. stream_usage: takes `stream_options`. output_limit: the name of the
    field that bounds the output. prompt_caching: `automatic` (any equal prefix, free to write),
    `breakpoints` (only at marks; writing costs extra; an unmarked call is written at its end unless
    told not to), `cache_control` (only at marks), `none` (nothing known). min_cache_tokens: shortest
    prefix that is cached. cache_lifetimes_s: how long a mark may live, shortest first, () where nothing is
    marked. cache_marks: most marks that one call writes. cache_lookback: in how many blocks before a mark an
    older one is found; 0 where only the marks of the call itself are looked at. efforts: the reasoning
    efforts it takes, () for a model that does not reason, None where that is not known. batch: the provider
    runs it in batches. native_citations: the passages go as documents and the provider says which it cites.
    """

    streaming: bool = True
    stream_usage: bool = True
    output_limit: OutputLimit = "max_tokens"
    prompt_caching: PromptCaching = "none"
    min_cache_tokens: int = 0
    cache_lifetimes_s: tuple[int, ...] = ()
    cache_marks: int = 0
    cache_lookback: int = 0
    efforts: tuple[Effort, ...] | None = None
    batch: bool = False
    native_citations: bool = False


# The open weights gpt-oss are served by other servers, which do not know OpenAI's newer fields.
OPENAI_NAME = re.compile(r"(?:^|[/:])(?P<family>gpt-(?!oss)|chatgpt-|o(?=\d))(?P<version>\d+(?:\.\d+)?)?")
# Source: openai 3.52.0, `types/chat/completion_create_params.py`: prompt_cache_options.
FIRST_WITH_BREAKPOINTS = (5, 6)
FIRST_THAT_REASONS = (5,)

# By the longest name that fits. Source: platform.claude.com, prompt caching, "Cache limitations"; a model that is not
# named there gets the largest, so that nobody counts on a cache that is not there.
ANTHROPIC_MIN_CACHE_TOKENS = {
    "fable-5": 512,
    "opus-5": 512,
    "sonnet-5-5": 512,
    "sonnet-5": 1024,
    "sonnet-4-6": 1024,
    "sonnet-4-5": 1024,
    "opus-4-8": 1024,
    "opus-4-7": 2048,
    "3-5-haiku": 2048,
}
ANTHROPIC_LARGEST_MINIMUM = 4096
# By the longest name that fits; () for every model before effort existed. Source: platform.claude.com, effort.
ANTHROPIC_EFFORTS: dict[str, tuple[Effort, ...]] = {
    "claude-": (),
    "opus-4-5": ("low", "medium", "high"),
    "opus-4-6": ("low", "medium", "high", "max"),
    "sonnet-4-6": ("low", "medium", "high", "max"),
    "opus-4-7": ("low", "medium", "high", "xhigh", "max"),
    "opus-4-8": ("low", "medium", "high", "xhigh", "max"),
    "claude-opus-5": ("low", "medium", "high", "xhigh", "max"),
    "claude-sonnet-5": ("low", "medium", "high", "xhigh", "max"),
    "claude-haiku-5": ("low", "medium", "high", "xhigh", "max"),
    "claude-fable-5": ("low", "medium", "high", "xhigh", "max"),
}


def capabilities_of(provider: str, model: str) -> Capabilities:
    """Return what `model` takes, by the provider's dialect and the provider's name for the model."""
    if provider == "anthropic":
        return anthropic_capabilities(model)
    named = OPENAI_NAME.search(model)
    if named is None:
        return Capabilities()
    version = tuple(int(part) for part in (named["version"] or "0").split("."))
    return openai_capabilities(named["family"], version)


def openai_capabilities(family: str, version: tuple[int, ...]) -> Capabilities:
    """Return what a model of OpenAI takes; the version (0,) is one that the name does not tell."""
    with_breakpoints = family == "gpt-" and version >= FIRST_WITH_BREAKPOINTS
    reasons = family == "o" or (family == "gpt-" and version >= FIRST_THAT_REASONS)
    return Capabilities(
        output_limit="max_completion_tokens",
        prompt_caching="breakpoints" if with_breakpoints else "automatic",
        min_cache_tokens=OPENAI_MIN_CACHE_TOKENS,
        cache_lifetimes_s=OPENAI_CACHE_LIFETIMES_S if with_breakpoints else (),
        cache_marks=MAX_CACHE_MARKS if with_breakpoints else 0,
        efforts=EFFORTS if reasons else (),
        batch=True,
    )


def anthropic_capabilities(model: str) -> Capabilities:
    """Return what a model behind the Messages API takes."""
    return Capabilities(
        prompt_caching="cache_control",
        cache_lifetimes_s=ANTHROPIC_CACHE_LIFETIMES_S,
        cache_marks=MAX_CACHE_MARKS,
        cache_lookback=ANTHROPIC_LOOKBACK_BLOCKS,
        min_cache_tokens=longest_match(ANTHROPIC_MIN_CACHE_TOKENS, model) or ANTHROPIC_LARGEST_MINIMUM,
        efforts=longest_match(ANTHROPIC_EFFORTS, model),
        batch=model.startswith("claude-"),
    )


def longest_match(table: Mapping[str, T], model: str) -> T | None:
    """Return the value of the longest key that the model's name holds, None for none."""
    found = [name for name in table if name in model]
    return table[max(found, key=len)] if found else None
