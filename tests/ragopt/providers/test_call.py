"""The one function of every model call: gates, retries, deadlines and settling, with scripted providers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import cycle, repeat

import pytest

from ragopt.domain import Outcome, Question, Usage
from ragopt.errors import (
    BudgetSpent,
    IncompleteStream,
    ModelPaused,
    ProviderError,
    ProviderOverloaded,
    ProviderProtocolError,
    ProviderRejected,
    ProviderThrottled,
    ProviderTimeout,
    ProviderUnavailable,
    QuotaSpent,
)
from ragopt.providers.attempt import Tried
from ragopt.providers.call import ModelCaller, RetryRules
from ragopt.providers.deployment import Deployment
from ragopt.providers.health import BreakerRules
from ragopt.providers.limits import RateLimits, Window
from ragopt.providers.protocol import Completed, CompletionRequest, ProviderEvent, TextDelta
from ragopt.providers.usage import estimated_usage
from ragopt.settings.models import PriceSettings
from tests.model_calls import PROMPT, Instants, call, caller, text_of

USAGE = Usage(input_tokens=100, output_tokens=10)
DONE = Completed(usage=USAGE, model_served="m-2026", stop="end")
DOWN = ProviderUnavailable("scripted: HTTP 500")
QUESTION = Question("How long?", "t")
PRICE = PriceSettings(input=Decimal(1), output=Decimal(10))
RETRYING = RetryRules(attempts=2)

Script = tuple[ProviderEvent | ProviderError, ...]
GOOD: Script = (TextDelta("Yes."), DONE)


class Scripted:
    """Plays one script for each call, the last one for ever."""

    name = "scripted"

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[CompletionRequest] = []

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Yield the next script."""
        self.requests.append(request)
        for step in self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]:
            if isinstance(step, ProviderError):
                raise step
            yield step

    async def close(self) -> None:
        """Do nothing."""


class Silent:
    """Never answers."""

    name = "silent"

    async def stream(self, request: CompletionRequest) -> AsyncIterator[ProviderEvent]:
        """Wait for ever."""
        await asyncio.Event().wait()
        yield TextDelta("never")

    async def close(self) -> None:
        """Do nothing."""


@dataclass
class Purse:
    """A meter that writes down what it is told, and refuses when it is empty."""

    spent: bool = False
    told: list[str] = field(default_factory=list)

    async def reserve(self, deployment: Deployment, request: CompletionRequest, question: Question) -> Purse:
        """Set money aside."""
        if self.spent:
            raise BudgetSpent("the budget of team a is spent")
        self.told.append(f"reserve {deployment.name} {question.tenant}")
        return self

    async def settle(self, usage: Usage, cost_usd: Decimal | None, outcome: Outcome, *, error: str = "") -> None:
        """Write it down."""
        told = f"settle {usage.output_tokens} {cost_usd} {outcome} {error}".rstrip()
        self.told.append(f"{told} estimated={usage.estimated}")

    async def release(self) -> None:
        """Write it down."""
        self.told.append("release")


def deployed(provider: Scripted | Silent, *, name: str = "small", **limits: int) -> Deployment:
    """Return a deployment of `provider`."""
    made = Deployment(name, provider, f"{name}-model", "simple", 5, PRICE)
    return replace(made, **limits)  # type: ignore[arg-type]


async def events_of(
    by: ModelCaller, deployment: Deployment, *, tried: list[Tried] | None = None, **terms: float
) -> list[ProviderEvent]:
    """Return every event of one call."""
    deadline_s, spare = terms.get("deadline_s", float("inf")), bool(terms.get("spare"))
    events = by.stream(
        deployment,
        call("m"),
        question=QUESTION,
        tried=[] if tried is None else tried,
        deadline_s=deadline_s,
        spare=spare,
    )
    return [event async for event in events]


def run(by: ModelCaller, deployment: Deployment, **terms: float) -> tuple[str, list[Tried], Exception | None]:
    """Return the text of one call, its attempts, and the error it ended with."""
    tried: list[Tried] = []
    try:
        return text_of(asyncio.run(events_of(by, deployment, tried=tried, **terms))), tried, None
    except (ProviderError, BudgetSpent) as error:
        return "", tried, error


def outcomes(tried: Sequence[Tried]) -> list[str]:
    """Return how the attempts ended."""
    return [item.attempt.outcome for item in tried]


@pytest.mark.parametrize(
    "error", [DOWN, ProviderTimeout("x"), ProviderThrottled("x"), ProviderOverloaded("x"), IncompleteStream("x")]
)
def test_passing_failure_is_tried_again(error: ProviderError) -> None:
    """The second attempt answers; both are told, each with what it used."""
    provider = Scripted((error,), GOOD)
    text, tried, ended = run(caller(retries=RETRYING), deployed(provider))
    assert (text, outcomes(tried), ended) == ("Yes.", ["error", "ok"], None)
    assert tried[0].attempt.detail.startswith(f"{error.code}: ")
    assert tried[1].usage == replace(USAGE, cost_usd=Decimal("0.0002"))


@pytest.mark.parametrize(
    "error", [ProviderRejected("x"), QuotaSpent("x"), ProviderProtocolError("x"), ModelPaused("x")]
)
def test_lasting_failure_is_not_tried_again(error: ProviderError) -> None:
    """No waiting cures it: one call, no wait, and the error comes through."""
    clock, provider = Instants(), Scripted((error,), GOOD)
    _, tried, ended = run(caller(retries=RETRYING, clock=clock), deployed(provider))
    assert (ended, outcomes(tried), clock.slept) == (error, ["error"], [])


def test_nothing_is_tried_again_after_text() -> None:
    """What was released cannot be taken back: the error follows the text, and what came is estimated."""
    provider, tried = Scripted((TextDelta("Half"), DOWN), GOOD), list[Tried]()

    async def listen() -> str:
        events = caller(retries=RETRYING).stream(deployed(provider), call("m"), question=QUESTION, tried=tried)
        first = await anext(events)
        with pytest.raises(ProviderUnavailable):
            await anext(events)
        return text_of([first])

    assert asyncio.run(listen()) == "Half"
    assert (len(provider.requests), outcomes(tried)) == (1, ["error"])
    assert tried[0].usage
    assert replace(tried[0].usage, cost_usd=None) == estimated_usage(PROMPT, "Half")


def test_waits_are_drawn_from_zero_to_a_bound_that_doubles() -> None:
    """Full jitter: over many calls the waits fill the range of each retry, and never leave it."""
    clock = Instants()
    by = caller(retries=RetryRules(attempts=3, chain_attempts=9, share=10), clock=clock)
    for _ in range(200):
        run(by, deployed(Scripted((DOWN,))))
        # Calls that fail this often would open the breaker.
        clock.now += 60
        by = caller(retries=RetryRules(attempts=3, chain_attempts=9, share=10), clock=clock) if _ % 10 == 9 else by
    first, second = clock.slept[::2], clock.slept[1::2]
    assert 0 <= min(first) < max(first) <= 0.5
    assert 0.5 < max(second) <= 1.0


def test_retry_after_is_a_floor() -> None:
    """The wait is what the provider asked, and up to a second more, for everyone was told the same."""
    clock = Instants()
    provider = Scripted((ProviderThrottled("x", retry_after_s=7),), GOOD)
    text, _, _ = run(caller(retries=RETRYING, clock=clock), deployed(provider))
    assert text == "Yes."
    assert 7 <= clock.slept[0] <= 8


@pytest.mark.parametrize(("terms", "retry_after_s"), [({"spare": 1}, 3), ({"deadline_s": 1_005}, 6), ({}, 3600)])
def test_wait_that_is_too_long_is_no_wait(terms: dict[str, float], retry_after_s: float) -> None:
    """Past the deadline, past patience, or where another model could answer: the error, with its Retry-After."""
    clock = Instants()
    provider = Scripted((ProviderThrottled("x", retry_after_s=retry_after_s),), GOOD)
    _, tried, ended = run(caller(retries=RETRYING, clock=clock), deployed(provider), **terms)
    assert isinstance(ended, ProviderThrottled)
    assert (ended.retry_after_s, outcomes(tried), clock.slept) == (retry_after_s, ["error"], [])


def test_retries_end_with_the_fourth_call_of_the_chain() -> None:
    """The attempts of earlier models count: a chain does not grow with its length."""
    by, tried = caller(retries=RetryRules(attempts=5, chain_attempts=4, share=10)), list[Tried]()
    for name in ("a", "b", "c"):
        with pytest.raises(ProviderUnavailable):
            asyncio.run(events_of(by, deployed(Scripted((DOWN,)), name=name), tried=tried))
    assert [item.attempt.model for item in tried] == ["a"] * 4 + ["b", "c"]


def test_retries_are_at_most_a_tenth_of_first_calls() -> None:
    """Of 300 questions to a model that fails every other call, 30 are asked again, and the rest is told."""
    flaky = Scripted(*(script for script, _ in zip(cycle([(DOWN,), GOOD, GOOD]), range(2_000), strict=False)))
    by, attempts = caller(retries=RETRYING), 0
    for _ in range(300):
        attempts += len(run(by, deployed(flaky))[1])
    assert 20 <= attempts - 300 <= 30


def test_breaker_opens_and_closes_again() -> None:
    """Calls stop without being made, say for how long, and go on once a probe has worked."""
    clock, provider = Instants(), Scripted(*repeat((ProviderOverloaded("x"),), 4), GOOD)
    by = caller(breaker=BreakerRules(calls=4), clock=clock)
    for _ in range(4):
        run(by, deployed(provider))
    _, tried, ended = run(by, deployed(provider))
    assert isinstance(ended, ModelPaused)
    assert (outcomes(tried), ended.retry_after_s, len(provider.requests)) == (["rejected"], 15, 4)
    clock.now += 15
    assert run(by, deployed(provider))[0] == run(by, deployed(provider))[0] == "Yes."


def test_breaker_that_opens_meanwhile_ends_the_retries() -> None:
    """A failure that opens the breaker is not waited for: the next attempt would not be made."""
    clock, provider = Instants(), Scripted((DOWN,))
    by = caller(retries=RETRYING, breaker=BreakerRules(calls=1), clock=clock)
    _, tried, ended = run(by, deployed(provider))
    assert (ended, outcomes(tried), clock.slept) == (DOWN, ["error"], [])


def test_spent_quota_stops_calls_at_once() -> None:
    """One answer that says so is enough, and it is not asked again."""
    provider = Scripted((QuotaSpent("x"),))
    by = caller(retries=RETRYING)
    run(by, deployed(provider))
    _, tried, _ = run(by, deployed(provider))
    assert (outcomes(tried), len(provider.requests)) == (["rejected"], 1)


def test_refusal_of_a_request_is_no_failure_of_the_model() -> None:
    """A caller that sends what the provider refuses cannot stop the calls of others."""
    provider = Scripted((ProviderRejected("HTTP 400"),))
    by = caller(breaker=BreakerRules(calls=4))
    assert [run(by, deployed(provider))[1][0].attempt.outcome for _ in range(10)] == ["error"] * 10


def test_timeout_that_was_our_deadline_is_no_failure_of_the_model() -> None:
    """A model that was given less than its own time has not failed."""
    by = ModelCaller(caller().means.prices, breaker=BreakerRules(calls=1))

    async def ask() -> list[Tried]:
        tried: list[Tried] = []
        with pytest.raises(ProviderTimeout, match="before the request's deadline"):
            await events_of(by, deployed(Silent()), tried=tried, deadline_s=asyncio.get_running_loop().time() + 0.02)
        return tried

    (first,) = asyncio.run(ask())
    assert first.usage
    assert first.usage.estimated
    assert by.target(deployed(Silent())).breaker.state == "closed"


def test_text_after_the_deadline_is_not_released() -> None:
    """A model that goes on past the deadline of the request is cut off there, and has not failed."""
    clock = Instants()
    by, chatty = caller(clock=clock, breaker=BreakerRules(calls=1)), deployed(Scripted((TextDelta("a"),) * 9))

    async def listen() -> list[ProviderEvent]:
        heard: list[ProviderEvent] = []
        with pytest.raises(ProviderTimeout, match="before the request's deadline"):
            await patiently(heard)
        return heard

    async def patiently(heard: list[ProviderEvent]) -> None:
        async for event in by.stream(chatty, call("m"), question=QUESTION, tried=[], deadline_s=clock.now + 3.5):
            heard.append(event)
            clock.now += 1

    assert text_of(asyncio.run(listen())) == "aaaa"
    assert by.target(chatty).breaker.state == "closed"


def test_attempt_gets_what_is_left_of_the_deadline() -> None:
    """The smaller one of the model's own time and the rest of the request's; nothing once it is over."""
    provider = Scripted(GOOD)
    for deadline_s in (1_003, 1_060, 1_000):
        run(caller(), deployed(provider), deadline_s=deadline_s)
    assert [request.timeout_s for request in provider.requests] == [3, 5]


def test_limits_are_waited_for_and_then_refused() -> None:
    """A short wait is waited for; a longer one is a refusal that says when, and the provider is not asked."""
    clock, provider = Instants(), Scripted(GOOD)
    by, limited = caller(clock=clock), deployed(provider, rpm=1)
    assert run(by, limited)[0] == "Yes."
    _, tried, ended = run(by, limited, spare=1)
    assert isinstance(ended, ModelPaused)
    assert (outcomes(tried), ended.retry_after_s) == (["rejected"], pytest.approx(60))
    clock.now += 45
    assert run(by, limited)[0] == "Yes."
    assert clock.slept == [pytest.approx(15)]


def test_tokens_are_settled_with_what_was_used() -> None:
    """Reserved are the prompt and the longest answer; afterwards only what was used is gone."""
    by, limited = caller(), deployed(Scripted(GOOD), tpm=1_000)
    run(by, limited)
    assert by.target(limited).allowance.share_left() == pytest.approx(1 - 110 / 1_000)


def test_retry_after_holds_back_the_other_calls() -> None:
    """Where another model could answer they are refused at once, else they wait."""
    clock = Instants()
    provider = Scripted((ProviderThrottled("x", retry_after_s=5),), GOOD)
    by = caller(clock=clock)
    run(by, deployed(provider), spare=1)
    _, tried, ended = run(by, deployed(provider), spare=1)
    assert (outcomes(tried), str(ended)) == (["rejected"], "small was not asked: its provider asked to wait")
    assert run(by, deployed(provider))[0] == "Yes."
    assert clock.slept == [5]


def test_places_are_bounded_and_given_back() -> None:
    """With one place and one in line the third call is refused; when the first is closed, its place is free."""

    async def crowd() -> tuple[list[str], int]:
        by, single = caller(), deployed(Silent(), max_concurrent=1)
        calls = [asyncio.create_task(events_of(by, single, spare=1)) for _ in range(3)]
        done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        return [str(task.exception()) for task in done], by.target(single).bulkhead.inside

    assert asyncio.run(crowd()) == (["small was not asked: too many calls of it run or wait"], 0)


def test_refusal_at_a_later_gate_gives_the_limit_back() -> None:
    """A call that found no place was never made: its request and its tokens are there for the next."""

    async def crowd() -> float:
        by, single = caller(), deployed(Silent(), max_concurrent=1, rpm=10, tpm=10_000)
        first = asyncio.create_task(events_of(by, single, spare=1))
        second = asyncio.create_task(events_of(by, single, spare=1))
        while not by.target(single).bulkhead.waiting:
            await asyncio.sleep(0)
        with pytest.raises(ModelPaused):
            await events_of(by, single, spare=1)
        left = by.target(single).allowance.share_left()
        for task in (first, second):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        return left

    assert asyncio.run(crowd()) == pytest.approx(0.8)


def test_meter_sees_every_attempt() -> None:
    """Reserved before each, settled after it: with nothing at no cost where it failed before it used a token."""
    purse = Purse()
    run(caller(retries=RETRYING, meter=purse), deployed(Scripted((DOWN,), GOOD)))
    assert purse.told == [
        "reserve small t",
        "settle 0 0 error provider_unavailable estimated=False",
        "reserve small t",
        "settle 10 0.0002 ok estimated=False",
    ]


def test_spent_budget_refuses_without_a_call() -> None:
    """The provider is not asked, nothing is tried again, and the attempt says why."""
    provider = Scripted(GOOD)
    _, tried, ended = run(caller(retries=RETRYING, meter=Purse(spent=True)), deployed(provider))
    assert isinstance(ended, BudgetSpent)
    assert (outcomes(tried), provider.requests) == (["rejected"], [])
    assert tried[0].attempt.detail == "budget_spent: the budget of team a is spent"


def test_refused_by_a_limit_releases_the_money() -> None:
    """What was set aside before the limit said no is given back."""
    purse = Purse()
    by, limited = caller(meter=purse), deployed(Scripted(GOOD), rpm=1)
    run(by, limited)
    run(by, limited, spare=1)
    assert purse.told[-2:] == ["reserve small t", "release"]


def test_caller_that_goes_away_is_settled() -> None:
    """Cancelled while it waits for the provider: an estimate is settled, and the place is left."""
    purse = Purse()

    async def leave() -> int:
        by, silent = caller(meter=purse), deployed(Silent(), max_concurrent=1)
        listener = asyncio.create_task(events_of(by, silent))
        while not by.target(silent).bulkhead.inside:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        listener.cancel()
        await asyncio.gather(listener, return_exceptions=True)
        return by.target(silent).bulkhead.inside

    assert asyncio.run(leave()) == 0
    assert purse.told[0] == "reserve small t"
    assert purse.told[1].endswith("error estimated=True")


def test_closing_after_text_settles_what_came() -> None:
    """Closing the iterator settles the text so far, and counts nothing against the model."""
    purse = Purse()
    by = caller(meter=purse)

    async def close() -> None:
        events = by.stream(deployed(Scripted(GOOD)), call("m"), question=QUESTION, tried=[])
        await anext(events)
        await events.aclose()

    asyncio.run(close())
    assert purse.told[1].endswith("error estimated=True")


def test_group_goes_by_what_is_left() -> None:
    """Members change places among themselves by the share that is left; the others stay where they are."""
    by = caller()
    a, b, c = (deployed(Scripted(GOOD), name=name) for name in "abc")
    a, c = replace(a, group="g", rpm=10), replace(c, group="g", rpm=10)
    run(by, a)
    assert by.shared((a, b, c)) == (c, b, a)
    run(by, c)
    run(by, c)
    assert by.shared((a, b, c)) == (a, b, c)


def test_group_learns_from_the_providers_headers() -> None:
    """Without limits of ours, what the provider says is left decides."""
    by = caller()
    told = replace(DONE, limits=RateLimits(requests=Window(10, 100, 60)))
    a, b = (replace(deployed(Scripted(GOOD), name=name), group="g") for name in "ab")
    run(by, replace(a, provider=Scripted((TextDelta("x"), told))))
    assert by.shared((a, b)) == (b, a)
