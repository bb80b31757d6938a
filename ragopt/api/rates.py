"""The rate limits of the caller's key: taken before work, told in every response, settled after it."""

from __future__ import annotations

import math

from fastapi import Request

from ragopt.api.request_log import response_headers, trace_of
from ragopt.api.running import running
from ragopt.domain import Question, Usage
from ragopt.errors import RateLimited
from ragopt.settings.traffic import LimitSettings
from ragopt.state.key_records import ApiKey
from ragopt.state.rates import RateLimit, RateLimiter, Taken, until_s

# A guess before the work; what is counted in the end is what the provider reports.
CHARS_PER_TOKEN = 4
INSTRUCTION_TOKENS = 200


async def within_rate(request: Request, caller: ApiKey, *, tokens: int = 0) -> int:
    """Return the tokens that were taken from the key's limits for this request, 0 where none are counted.

    tokens: that the request will use, as far as one can tell. Its response says what is left.
    Raises: `RateLimited`.
    """
    service, trace = running(request).service, trace_of(request)
    limit = limit_of(caller, service.settings.limits)
    if not limit.bounds():
        return 0
    with trace.stage("limits"):
        taken = await service.rates.take(caller.id, limit, tokens=tokens)
    if not taken.shared:
        trace.fell_back("limits", "Redis does not answer: counted in this process alone")
    response_headers(request).update(rate_headers(taken))
    if not taken.allowed:
        raise RateLimited(refusal(taken), retry_after_s=taken.wait_s())
    return taken.tokens


def settle_rate(rates: RateLimiter, key_id: str, usage: Usage, *, taken: int) -> None:
    """Count what an answer used instead of what was taken for it; never waits.

    What a request that failed had taken comes back with the minute.
    """
    rates.settle(key_id, taken=taken, used=usage.total_input_tokens + usage.output_tokens)


def limit_of(caller: ApiKey, defaults: LimitSettings) -> RateLimit:
    """Return the key's limits, those of `[limits]` where it names none."""
    rpm = defaults.rpm if caller.rpm is None else caller.rpm
    tpm = defaults.tpm if caller.tpm is None else caller.tpm
    return RateLimit(rpm, tpm)


def likely_tokens(question: Question, *, usual_output: int) -> int:
    """Return how many tokens an answer may use at most, about: its prompt, and as much output as it may have.

    usual_output: what it may have where the question does not say.
    """
    said = len(question.text) + len(question.instructions) + sum(len(turn.content) for turn in question.history)
    prompt = INSTRUCTION_TOKENS + said // CHARS_PER_TOKEN + question.knobs.context_tokens
    return prompt + (question.max_output_tokens or usual_output)


def refusal(taken: Taken) -> str:
    """Return which limit is used up, in a sentence."""
    limit = taken.limit
    if limit.rpm and taken.requests_left < 1:
        return f"This key may make {limit.rpm} requests per minute; wait {taken.wait_s():.3g} s."
    return f"This key may use {limit.tpm} tokens per minute; wait {taken.wait_s():.3g} s."


def rate_headers(taken: Taken) -> dict[str, str]:
    """Return the usual headers of the limits that there are.

    Source: OpenAI API reference, rate limits: the names, and `reset` as the time until all of it is there again.
    """
    limit, headers = taken.limit, dict[str, str]()
    kinds = (("requests", limit.rpm, taken.requests_left), ("tokens", limit.tpm, taken.tokens_left))
    for name, most, left in kinds:
        if most:
            headers[f"x-ratelimit-limit-{name}"] = str(most)
            headers[f"x-ratelimit-remaining-{name}"] = str(max(0, math.floor(left)))
            headers[f"x-ratelimit-reset-{name}"] = duration(until_s(most, left, most))
    return headers


def duration(seconds: float) -> str:
    """Return a time as OpenAI writes it: `120ms`, `7.66s`, `1m30s`."""
    if seconds < 1:
        return f"{math.ceil(1000 * seconds)}ms"
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{minutes:.0f}m{rest:g}s" if minutes else f"{rest:g}s"
