"""One answer at a time to the same question, whoever leaves, fails or reads slowly."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field

import pytest

from ragopt.domain import Answer
from ragopt.errors import BudgetSpent, ProviderUnavailable
from ragopt.events import AnswerEvent, Finished, TextReleased
from ragopt.flights import Flights
from tests.ragopt.stages.cache.answers import ANSWER


@dataclass
class Model:
    """A model that writes when it is let. calls: how often it was asked; ended: how often it came to an end."""

    go: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None
    calls: int = 0
    ended: list[str] = field(default_factory=list)

    async def events(self) -> AsyncGenerator[AnswerEvent, None]:
        """Yield an answer, or fail."""
        self.calls += 1
        how = "left"
        try:
            yield TextReleased("Öl ")
            await self.go.wait()
            if self.error is not None:
                raise self.error
            yield Finished(ANSWER)
            how = "whole"
        finally:
            self.ended.append(how)


async def asked(flights: Flights, model: Model, *, private: bool = False) -> Answer | None:
    """Return the answer as the pipeline gets it: another's, or one of its own."""
    shared = await flights.joined("k")
    if shared is not None:
        return shared
    async with aclosing(flights.led("k", model.events(), private=lambda: private)) as events:
        found = [event.answer async for event in events if isinstance(event, Finished)]
    return found[0] if found else None


def run(scenario: Callable[[Flights, Model], Awaitable[None]]) -> None:
    async def with_model() -> None:
        await asyncio.wait_for(scenario(Flights(), Model()), timeout=60)

    asyncio.run(with_model())


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_thousand_identical_questions_make_one_call() -> None:
    """All of them get the one answer; the next one after that makes another."""

    async def scenario(flights: Flights, model: Model) -> None:
        waiting = [asyncio.create_task(asked(flights, model)) for _ in range(1_000)]
        await settled()
        model.go.set()
        assert await asyncio.gather(*waiting) == [ANSWER] * 1_000
        assert (model.calls, model.ended) == (1, ["whole"])
        await asked(flights, model)
        assert model.calls == 2

    run(scenario)


def test_other_questions_do_not_wait() -> None:
    """A flight is under its own key."""

    async def scenario(flights: Flights, model: Model) -> None:
        first = asyncio.create_task(asked(flights, model))
        await settled()
        assert await flights.joined("other") is None
        model.go.set()
        await first

    run(scenario)


def test_a_failure_is_shared() -> None:
    """A provider that is down is not asked a thousand times; the next question asks it again."""

    async def scenario(flights: Flights, model: Model) -> None:
        model.error = ProviderUnavailable("down")
        waiting = [asyncio.create_task(asked(flights, model)) for _ in range(20)]
        await settled()
        model.go.set()
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(outcome, ProviderUnavailable) for outcome in outcomes)
        assert model.calls == 1
        with pytest.raises(ProviderUnavailable):
            await asked(flights, model)
        assert model.calls == 2

    run(scenario)


@pytest.mark.parametrize("private", [True, False])
def test_what_is_the_first_callers_own_is_not_shared(*, private: bool) -> None:
    """Its spent budget, or an answer that only it should have: the others ask for themselves."""

    async def scenario(flights: Flights, model: Model) -> None:
        model.error = None if private else BudgetSpent("spent")
        waiting = [asyncio.create_task(asked(flights, model, private=private)) for _ in range(3)]
        await settled()
        model.go.set()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert model.calls == 3

    run(scenario)


def test_the_answer_goes_on_for_the_others_when_the_first_caller_leaves() -> None:
    """One call is enough, and it is not even made again."""

    async def scenario(flights: Flights, model: Model) -> None:
        first, second = (asyncio.create_task(asked(flights, model)) for _ in range(2))
        await settled()
        first.cancel()
        await settled()
        assert model.ended == []
        model.go.set()
        assert await second == ANSWER
        assert (model.calls, first.cancelled()) == (1, True)

    run(scenario)


def test_the_call_ends_with_the_last_who_wants_it() -> None:
    """In whichever order they leave."""

    async def scenario(flights: Flights, model: Model) -> None:
        tasks = [asyncio.create_task(asked(flights, model)) for _ in range(3)]
        await settled()
        for task in (tasks[1], tasks[0], tasks[2]):
            assert model.ended == []
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        assert model.ended == ["left"]
        assert await asyncio.wait_for(flights.joined("k"), timeout=1) is None

    run(scenario)


def test_a_first_caller_that_reads_nothing_holds_nobody_up() -> None:
    """The answer is made whether or not it is read."""

    async def scenario(flights: Flights, model: Model) -> None:
        model.go.set()
        slow = flights.led("k", model.events(), private=lambda: False)
        await anext(slow)
        joined = await flights.joined("k")
        assert joined is None or joined == ANSWER
        assert [type(event) async for event in slow] == [Finished]

    run(scenario)


def test_the_first_caller_gets_every_event_in_order() -> None:
    """And its error where there is one, after what came before it."""

    async def scenario(flights: Flights, model: Model) -> None:
        model.go.set()
        events = [event async for event in flights.led("k", model.events(), private=lambda: False)]
        assert events == [TextReleased("Öl "), Finished(ANSWER)]
        model.error = ValueError("a bug")
        broken = flights.led("k", model.events(), private=lambda: False)
        assert await anext(broken) == TextReleased("Öl ")
        with pytest.raises(ValueError, match="a bug"):
            await anext(broken)

    run(scenario)
