"""Every attempt that was sent has its row: over a real Redis, with the provider stub on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from redis.asyncio import Redis

from eval.stub import StubServer, serve_in_thread
from ragopt.config import Settings
from ragopt.domain import Question
from ragopt.errors import BudgetSpent, ProviderError
from ragopt.money.stats import Sums, stats_of
from ragopt.providers.call import ModelCaller, RetryRules
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.health import BreakerRules
from ragopt.results import Prepared
from ragopt.settings.money import BudgetSettings
from ragopt.stages.generate import GenerateWithFallback
from ragopt.state.accounts import Accounts, accounts_over
from ragopt.telemetry import Trace
from tests.model_calls import CONTEXT, PROMPT, caller, provider_for
from tests.ragopt.money.questions import PRICE, budget, question
from tests.ragopt.state.scenarios import with_redis

ASKED = question(user="ann")
TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens")


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


@dataclass(frozen=True, slots=True)
class Desk:
    """Models at the stub, and the books that see their calls. calls: what the traces of all questions say."""

    accounts: Accounts
    by: ModelCaller
    models: Sequence[Deployment]
    calls: list[tuple[str, str, str]] = field(default_factory=list)

    async def asked(self, asked: Question = ASKED) -> None:
        """Have the models asked in their order until one answers."""
        stage = GenerateWithFallback(
            lambda _: Plan(tuple(self.models), "a test"), caller=self.by, max_output_tokens=100
        )
        trace = Trace("r")
        try:
            async for _ in stage(Prepared(asked, CONTEXT, PROMPT), trace=trace):
                pass
        except (ProviderError, BudgetSpent):
            assert trace.calls
        self.calls.extend((call.model, call.outcome, call.error) for call in trace.calls)

    async def rows(self) -> list[Mapping[str, object]]:
        """Return the rows, oldest first."""
        assert await self.accounts.outbox.flush(within_s=60)
        return (await self.accounts.ledger.rows())[::-1]

    async def sums(self) -> Mapping[str, Mapping[str, Sums]]:
        """Return today's sums by model and label."""
        today = datetime.now(UTC).date()
        return stats_of(await self.accounts.ledger.days(ASKED.tenant, [today])).by


@asynccontextmanager
async def desk_with(
    redis: Redis,
    *models: Deployment,
    retries: RetryRules | None = None,
    breaker: BreakerRules | None = None,
    budgets: tuple[BudgetSettings, ...] = (),
) -> AsyncIterator[Desk]:
    """Yield a desk; its models fail as their names say."""
    async with AsyncExitStack() as stack:
        accounts = accounts_over(redis, Settings(budgets=budgets))
        stack.push_async_callback(accounts.close)
        for model in models:
            stack.push_async_callback(model.provider.close)
        yield Desk(accounts, caller(retries=retries, breaker=breaker, meter=accounts.meter), models)


def failing(fault: str, stub: StubServer, *, timeout_s: float = 10) -> Deployment:
    """Return a model that is called as it fails."""
    return Deployment(fault, provider_for("openai", stub), f"stub-{fault}", "simple", timeout_s, price=PRICE)


def told(rows: Sequence[Mapping[str, object]]) -> list[tuple[object, object, object]]:
    """Return of each row the model, the outcome and the code of the failure."""
    return [(row["deployment"], row["outcome"], row["error"]) for row in rows]


def test_every_attempt_of_a_chain_has_its_row(redis_url: str, stub: StubServer) -> None:
    """Two models that fail, one of them twice, and one that answers: by model, key and label, nothing left held."""
    chain = [failing(fault, stub) for fault in ("500", "drop", "ok")]

    async def scenario(redis: Redis) -> None:
        async with desk_with(redis, *chain, retries=RetryRules(attempts=2), budgets=(budget(),)) as desk:
            await desk.asked()
            rows, (standing,) = await desk.rows(), await desk.accounts.meter.standing(ASKED)
            assert told(rows) == desk.calls
            assert [name for name, _, _ in desk.calls] == ["500", "500", "drop", "drop", "ok"]
            assert [code for _, _, code in desk.calls] == ["provider_unavailable"] * 4 + [""]
            failed, paid = rows[:4], Decimal(str(rows[4]["cost_usd"]))
            assert all(row["cost_usd"] == "0" and not any(row[name] for name in TOKENS) for row in failed)
            assert {(row["key_id"], row["user"], row["price_version"]) for row in rows} == {
                ("k1", "ann", "ragopt.toml")
            }
            assert (standing.spent_nano, standing.held_nano) == (paid * 10**9, 0)
            sums = await desk.sums()
            counts = {name: (found.failed_calls, found.calls) for name, found in sums["model"].items()}
            assert counts == {"500": (2, 0), "drop": (2, 0), "ok": (0, 1)}
            ann = sums["user"]["ann"]
            assert (ann.failed_calls, ann.calls, ann.unpriced_calls, ann.spent_usd) == (4, 1, 0, paid)

    with_redis(redis_url, scenario)


@dataclass(frozen=True, slots=True)
class Gate:
    """A gate that does not let a call through. sent: how many of two calls it does."""

    fault: str = "ok"
    rpm: int | None = None
    breaker: BreakerRules | None = None
    usd_per_day: str = "1"
    sent: int = 1


GATES = {
    "breaker": Gate("500", breaker=BreakerRules(calls=1)),
    "limit": Gate(rpm=1),
    "budget": Gate(usd_per_day="0", sent=0),
}


@pytest.mark.parametrize("gate", GATES.values(), ids=GATES)
def test_what_is_not_sent_leaves_no_row(redis_url: str, stub: StubServer, gate: Gate) -> None:
    """A breaker that is open, a limit without room, and a budget that is spent: the trace alone tells of them."""
    model = replace(failing(gate.fault, stub), rpm=gate.rpm)

    async def scenario(redis: Redis) -> None:
        budgets = (budget(day=gate.usd_per_day),)
        async with desk_with(redis, model, breaker=gate.breaker, budgets=budgets) as desk:
            await desk.asked()
            await desk.asked()
            assert [outcome for _, outcome, _ in desk.calls[gate.sent :]] == ["rejected"] * (2 - gate.sent)
            assert told(await desk.rows()) == desk.calls[: gate.sent]

    with_redis(redis_url, scenario)


def test_a_call_that_timed_out_is_a_failed_call_that_costs(redis_url: str, stub: StubServer) -> None:
    """Whoever does not answer may charge all the same: the prompt is estimated, and counts in both."""

    async def scenario(redis: Redis) -> None:
        async with desk_with(redis, failing("hang", stub, timeout_s=0.5)) as desk:
            await desk.asked()
            (row,) = await desk.rows()
            assert (row["outcome"], row["error"], row["estimated"]) == ("error", "provider_timeout", True)
            assert Decimal(str(row["cost_usd"])) > 0
            hang = (await desk.sums())["model"]["hang"]
            assert (hang.failed_calls, hang.calls) == (1, 1)

    with_redis(redis_url, scenario)
