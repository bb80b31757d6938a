"""Every fault of the provider stub against the caller: what gets through, what retries cost, when breakers move."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import product

from pydantic import SecretStr

from eval.errors import BenchError
from eval.fault_cases import (
    DIALECTS,
    MAX_OUTPUT_TOKENS,
    SPARE_ANSWER,
    Case,
    Dialect,
    Outcome,
    asked,
    broken,
    every_case,
    prepared,
    spare,
)
from eval.intervals import exact
from eval.report import Report
from eval.stub import StubOptions, StubServer, serve_in_thread
from eval.stub.state import SeenCall, Step
from ragopt.money.prices import Prices
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.call import ModelCaller, RetryRules
from ragopt.providers.capabilities import Capabilities
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.health import BreakerRules
from ragopt.providers.openai import OpenAIProvider
from ragopt.providers.protocol import Provider
from ragopt.stages.generate import GenerateWithFallback
from ragopt.telemetry import Trace

KEY = SecretStr("sk-campaign")
AT_ONCE = 48
DEADLINE_S = 30.0
MAX_RETRY_SHARE = 0.1
# The share of retries is promised over at least so many first calls.
SHARE_OVER_CALLS = 200
MAX_HANG_UP_S = 1.0
WATCH_S = 5.0
# What the stub's 529 asks to wait, and some more.
BURST_RETRY_AFTER_S = 1.1
BURST = BreakerRules(calls=20, wait_s=0.5)


@dataclass(frozen=True, slots=True)
class FaultJob:
    """What to run: each case so many times."""

    rounds: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Burst:
    """What a model did that was overloaded and then well again. leaked: calls it got while its breaker was open."""

    calls_until_open: int
    leaked: int
    fallbacks: int
    unanswered: int
    closed_again: bool


def run_campaign(job: FaultJob) -> Report:
    """Return the counts of the whole campaign; what must not happen and did is in its failures."""
    options = StubOptions(answer=SPARE_ANSWER)
    with serve_in_thread() as failing, serve_in_thread(options) as healthy:
        outcomes, burst, hang_ups_s = asyncio.run(everything(job, failing, healthy))
    counts = counts_of(outcomes)
    firsts = counts["first_calls"]
    share = counts["retries"] / max(1, firsts)
    metrics = {name: exact(count) for name, count in counts.items()} | {
        "retry_share": exact(share),
        "burst_calls_until_open": exact(burst.calls_until_open),
        "burst_leaked": exact(burst.leaked),
        "burst_fallbacks": exact(burst.fallbacks),
        "burst_closed_again": exact(burst.closed_again),
        "slowest_hang_up_ms": exact(1000 * max(hang_ups_s)),
    }
    failures = [outcome.problem for outcome in outcomes if outcome.problem]
    failures += burst_problems(burst)
    if firsts >= SHARE_OVER_CALLS and share > MAX_RETRY_SHARE:
        failures.append(f"{counts['retries']} retries after {firsts} first calls")
    failures += [f"hanging up took {seconds:.2f} s" for seconds in hang_ups_s if seconds > MAX_HANG_UP_S]
    config = {"rounds": job.rounds, "at_once": AT_ONCE, "deadline_s": DEADLINE_S}
    return Report("faults", "stub", len(outcomes), job.seed, config, metrics, failures=tuple(failures))


def counts_of(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """Return how many questions came to what, the fallbacks and the retries."""
    verdicts = [outcome.verdict for outcome in outcomes]
    return {
        "requests": len(outcomes),
        "complete": verdicts.count("complete"),
        "marked_partial": verdicts.count("partial"),
        "typed_error": verdicts.count("typed_error"),
        "truncated_served_as_whole": verdicts.count("truncated"),
        "spliced_or_lost": verdicts.count("damaged"),
        "untyped_error": verdicts.count("untyped_error"),
        "late": verdicts.count("late"),
        "fallbacks": sum(outcome.fell_back for outcome in outcomes),
        "first_calls": sum(outcome.first_asked for outcome in outcomes),
        "retries": sum(outcome.retries for outcome in outcomes),
    }


async def everything(
    job: FaultJob, failing: StubServer, healthy: StubServer
) -> tuple[list[Outcome], Burst, list[float]]:
    """Return what the matrix, the burst and the hang-ups came to, one after the other."""
    async with providers_at(failing) as bad, providers_at(healthy) as good:
        outcomes = await matrix(job, bad, good)
        burst = await overloaded(failing, bad["openai"], good["anthropic"])
        ways = product(DIALECTS, ("drip", "hang"), (True, False))
        hang_ups_s = [await hung_up(failing, bad[dialect], fault, streaming=how) for dialect, fault, how in ways]
    return outcomes, burst, hang_ups_s


@asynccontextmanager
async def providers_at(stub: StubServer) -> AsyncIterator[dict[Dialect, Provider]]:
    """Yield an adapter for each dialect, connected to the stub until the block ends."""
    providers: dict[Dialect, Provider] = {
        "openai": OpenAIProvider(KEY, stub.openai_url),
        "anthropic": AnthropicProvider(KEY, stub.anthropic_url),
    }
    try:
        yield providers
    finally:
        for provider in providers.values():
            await provider.close()


async def matrix(job: FaultJob, bad: dict[Dialect, Provider], good: dict[Dialect, Provider]) -> list[Outcome]:
    """Return the outcome of every case, in an order drawn at random; the spare model has the other dialect."""
    order, places = random.Random(job.seed), asyncio.Semaphore(AT_ONCE)  # noqa: S311
    caller = ModelCaller(Prices(), randomness=random.Random(job.seed))  # noqa: S311
    cases = list(every_case()) * job.rounds
    order.shuffle(cases)

    async def one(case: Case) -> Outcome:
        other = DIALECTS[1 - DIALECTS.index(case.dialect)]
        chain = (broken(case, bad[case.dialect]), spare(case, good[other]))
        async with places:
            return await asked(case, chain, caller=caller, deadline_s=DEADLINE_S)

    return list(await asyncio.gather(*(one(case) for case in cases)))


async def overloaded(failing: StubServer, bad: Provider, good: Provider) -> Burst:
    """Return what happens while a model answers 529 to everything, and after it is well again."""
    caller = ModelCaller(Prices(), retries=RetryRules(attempts=1), breaker=BURST)
    case = Case("ok", "openai", streaming=True)
    model, backup = Deployment("burst", bad, "burst", "simple", 10), spare(case, good)
    failing.plan(*[Step("529", model=model.model)] * 2 * BURST.calls)
    before = failing.state.total

    def ask() -> Awaitable[Outcome]:
        return asked(case, (model, backup), caller=caller, deadline_s=DEADLINE_S)

    outcomes = list(await asyncio.gather(*(ask() for _ in range(BURST.calls))))
    opened, until_open = caller.target(model).breaker.state == "open", failing.state.total - before
    outcomes += [await ask() for _ in range(BURST.calls)]
    leaked = failing.state.total - before - until_open
    failing.state.steps.clear()
    await asyncio.sleep(BURST_RETRY_AFTER_S)
    last = await ask()
    return Burst(
        calls_until_open=until_open if opened else 0,
        leaked=leaked,
        fallbacks=sum(outcome.fell_back for outcome in outcomes),
        unanswered=sum(outcome.verdict != "complete" for outcome in outcomes),
        closed_again=not last.fell_back and caller.target(model).breaker.state == "closed",
    )


def burst_problems(burst: Burst) -> list[str]:
    """Return what must not happen in a burst and did, in sentences."""
    checks = {
        "the breaker did not open": burst.calls_until_open == 0,
        f"{burst.leaked} calls passed an open breaker": burst.leaked > 0,
        f"{burst.unanswered} questions were not answered whole during the burst": burst.unanswered > 0,
        "the breaker did not close again": not burst.closed_again,
    }
    return [problem for problem, happened in checks.items() if happened]


async def hung_up(failing: StubServer, provider: Provider, fault: str, *, streaming: bool) -> float:
    """Return the seconds from a caller's leaving until the provider sees the connection end; at most five."""
    takes = Capabilities(streaming=streaming)
    model = Deployment(f"left/{fault}", provider, f"stub-{fault}", "simple", 60, capabilities=takes)
    stage = GenerateWithFallback(
        lambda _: Plan((model,), "a campaign"), caller=ModelCaller(Prices()), max_output_tokens=MAX_OUTPUT_TOKENS
    )

    async def listen() -> None:
        async with aclosing(stage(prepared(), trace=Trace("left"))) as events:
            async for _ in events:
                pass

    known, listener = failing.calls[-1].n, asyncio.create_task(listen())
    call = await asyncio.to_thread(call_after, failing, known)
    left_at = time.perf_counter()
    listener.cancel()
    with suppress(asyncio.CancelledError):
        await listener
    await asyncio.to_thread(failing.all_left, [call], within_s=WATCH_S)
    return time.perf_counter() - left_at


def call_after(stub: StubServer, known: int) -> SeenCall:
    """Return the first call after number `known`, waiting for it. Raises: `BenchError` if none comes."""
    until = time.monotonic() + WATCH_S
    while time.monotonic() < until:
        if (last := stub.calls[-1]).n > known:
            return last
        time.sleep(0.005)
    raise BenchError("the provider was not called")
