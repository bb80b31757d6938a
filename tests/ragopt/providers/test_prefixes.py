"""Which beginnings of prompts are cached: long enough, and read often enough to pay."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from eval.stub import StubServer, serve_in_thread
from ragopt.domain import Question, Turn
from ragopt.money.prices import Prices
from ragopt.providers.capabilities import capabilities_of
from ragopt.providers.deployment import Deployment
from ragopt.providers.layout import Prompt
from ragopt.providers.prefixes import PrefixPlanner, Share
from ragopt.providers.protocol import CacheMarks, Completed
from tests.model_calls import Instants, ScriptedProvider, call, collected, laid_out, provider_for

RULES = "Answer from the passages, and cite. " * 200
TURN = "What was said about the passages and their citations. " * 12
MODELS = {"openai": "gpt-6.1-sol", "anthropic": "claude-opus-5-5"}


class Named(ScriptedProvider):
    """A provider that is looked up by its dialect's prices."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name


def deployment(dialect: str, model: str | None = None) -> Deployment:
    """Return a deployment of the dialect's model."""
    named = model or MODELS[dialect]
    capabilities = capabilities_of(dialect, named)
    return Deployment(named, Named(dialect), named, tier="simple", timeout_s=5, capabilities=capabilities)


def conversation(turns: int, *, rules: str = RULES, text: str = TURN) -> Prompt:
    """Return the prompt after so many exchanges."""
    said = [Turn(role, f"{at}: {text}") for at in range(turns) for role in ("user", "assistant")]  # type: ignore[arg-type]
    return laid_out(system=rules, history=said, user=f"Question {turns}?")


def asked(turns: int, *, tenant: str = "t", opening: str = "0") -> Question:
    """Return the question after so many exchanges."""
    return Question("q", tenant, history=(Turn("user", opening),) * turns)


def planned(dialect: str, numbers: Sequence[int], *, gap_s: float = 10, **layout: str) -> list[CacheMarks]:
    """Return the marks of prompts after these numbers of exchanges, one every `gap_s`."""
    clock = Instants()
    planner = PrefixPlanner(Prices(), clock=clock)
    found = []
    for turns in numbers:
        found.append(planner.plan(deployment(dialect), conversation(turns, **layout), question=asked(turns)))
        clock.now += gap_s
    return found


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_rules_and_conversation_are_marked(dialect: str) -> None:
    """The rules and the end of the conversation are cached; OpenAI needs the marks of the turn before again."""
    first, second, third = planned(dialect, [0, 1, 2])
    assert list(first.after) == [0]
    assert list(second.after) == [0, 2]
    assert list(third.after) == ([0, 2, 4] if dialect == "openai" else [0, 4])


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_nothing_is_marked_below_the_shortest_prefix(dialect: str) -> None:
    """A beginning that the provider would not cache is sent as it is."""
    assert planned(dialect, [0, 1], rules="Short.", text="Hello.")[1].after == {}


def test_thin_traffic_is_not_cached() -> None:
    """Where calls come too seldom to read what was written, writing stops, and starts again with the traffic."""
    clock = Instants()
    planner = PrefixPlanner(Prices(), clock=clock)

    def marked(gap_s: float) -> bool:
        clock.now += gap_s
        return bool(planner.plan(deployment("openai"), conversation(0), question=asked(0)).after)

    seldom = [marked(7_200) for _ in range(20)]
    assert seldom[0]
    assert not any(seldom[5:])
    often = [marked(60) for _ in range(20)]
    assert often[-1]


def test_calls_too_far_apart_for_five_minutes_are_kept_an_hour() -> None:
    """With a call every ten minutes the longer lifetime costs less than its price, and no shorter mark precedes it."""
    marks = [plan.after for plan in planned("anthropic", [0] * 20, gap_s=600)]
    assert marks[-1] == {0: 3_600}
    assert planned("anthropic", [0] * 20, gap_s=60)[-1].after == {0: 300}


def test_the_rule_is_the_breakeven_share() -> None:
    """At a write of 1.25 and a read of 0.1 a beginning pays from a share of 0.25 / 1.15 on."""
    share = Share(calls=0.0)
    share.found[60] = 0.0
    for at in range(400):
        share.add(1.0 if at % 4 == 0 else None, [60])
    assert share.of(60) == pytest.approx(0.25, abs=0.02)
    assert share.of(60) * 0.1 + (1 - share.of(60)) * 1.25 < 1


def test_a_model_without_a_price_is_not_marked() -> None:
    """What writing costs is not known, so nothing is written."""
    unknown = replace(deployment("openai"), model="gpt-99-unheard-of")
    plan = PrefixPlanner(Prices()).plan(unknown, conversation(3), question=asked(3))
    assert plan.after == {}
    assert plan.key


def test_the_key_tells_nothing_and_keeps_tenants_apart() -> None:
    """It is a digest: the same for a tenant's calls, another for another tenant, none where nothing is cached."""
    planner = PrefixPlanner(Prices())
    keys = [
        planner.plan(deployment("openai", "gpt-4o"), conversation(turns), question=asked(turns, tenant=tenant)).key
        for turns, tenant in ((0, "acme"), (3, "acme"), (0, "globex"))
    ]
    assert keys[0] == keys[1] != keys[2]
    assert "acme" not in keys[0]
    assert planner.plan(deployment("openai", "llama-9"), conversation(0), question=asked(0)) == CacheMarks()
    assert planner.plan(deployment("anthropic"), conversation(0), question=asked(0)).key == ""


def test_a_busy_key_is_sharded_by_conversation() -> None:
    """Over fifteen calls a minute the key is split, and a conversation stays with its shard."""
    clock = Instants()
    planner = PrefixPlanner(Prices(), clock=clock)
    sol = deployment("openai")
    for _ in range(100):
        planner.plan(sol, conversation(0), question=asked(0))
    clock.now += 60
    keys = {planner.plan(sol, conversation(1), question=asked(1, opening=str(at))).key for at in range(50)}
    assert len(keys) == 8
    again = {planner.plan(sol, conversation(at), question=asked(at, opening="x")).key for at in (1, 2, 3)}
    assert len(again) == 1


@pytest.fixture(scope="module")
def stub() -> StubServer:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server  # type: ignore[misc]


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
def test_the_provider_reads_what_the_turn_before_wrote(stub: StubServer, dialect: str) -> None:
    """Over a socket, by the provider's rules: the second turn reads the rules, the third the second's conversation."""
    planner, chosen = PrefixPlanner(Prices()), deployment(dialect)
    usages = []
    for turns in (0, 1, 2):
        prompt = conversation(turns)
        cache = planner.plan(chosen, prompt, question=asked(turns))
        request = replace(call(chosen.model), prompt=prompt, capabilities=chosen.capabilities, cache=cache)
        last = asyncio.run(collected(provider_for(dialect, stub), request))[-1]
        assert isinstance(last, Completed)
        usages.append(last.usage)
    assert [usage.cached_input_tokens > 0 for usage in usages] == [False, True, True]
    assert usages[0].cache_write_tokens == usages[1].cached_input_tokens
    assert usages[2].cached_input_tokens == usages[1].cached_input_tokens + usages[1].cache_write_tokens
    assert all(usage.input_tokens < 60 for usage in usages)
