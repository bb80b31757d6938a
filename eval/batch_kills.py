"""`kill -9` of the service at every step of a batch: nothing submitted twice, nothing lost, nothing paid twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import httpx

from eval.bench.service import RunningService, running_service
from eval.errors import BenchError
from eval.intervals import exact
from eval.report import ConfigValue, Report
from eval.stub import Step, StubOptions, StubServer, serve_in_thread
from ragopt.config import Settings
from ragopt.domain import Question
from ragopt.settings.money import BudgetSettings
from ragopt.wiring import open_service

MODELS = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
# What a batch asks of its provider from beginning to end; each of these calls hangs once, after it has worked.
CALLS = {
    "openai": ("upload", "create", "poll", "read", "download"),
    "anthropic": ("create", "poll", "read", "download"),
}
TEXT = "The {n}th rule says that fee number {n} is {n} dollars. Nobody may pay it twice."
REQUESTS = 12
WAIT_S = 120.0
POLL_S = 0.05
BUDGET = {"scope": "tenant", "usd_per_month": 1000}


@dataclass(frozen=True, slots=True)
class KillJob:
    """Which steps to kill at, as `dialect/step`; all of them unless said. seed: for the report alone."""

    only: tuple[str, ...] = ()
    seed: int = 0


@dataclass(slots=True)
class Found:
    """What must be 0, with examples."""

    counts: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def note(self, kind: str, number: int, example: str) -> None:
        """Count what is wrong."""
        self.counts[kind] += number
        if number:
            self.examples.append(example)


def every_step() -> list[str]:
    """Return every moment at which the service is killed: after it took the batch, and in each call it makes."""
    return [f"{dialect}/{step}" for dialect, steps in CALLS.items() for step in ("accepted", *steps)]


def batch_kills(job: KillJob) -> Report:
    """Kill at each step, go on, and count what is wrong. Raises: `BenchError` if a service does not come up."""
    found = Found()
    steps = job.only or tuple(every_step())
    with (
        tempfile.TemporaryDirectory(prefix="ragopt-kills-") as scratch,
        serve_in_thread(StubOptions(batch_s=0)) as stub,
    ):
        folder = Path(scratch)
        for number, step in enumerate(steps):
            batch_id = killed_at(folder, stub, step=step, number=number)
            with served(folder, stub) as service:
                inspect(service, batch_id, found=found, step=step)
        twice = [name for name, times in Counter(stub.state.asked_in_batches).items() if times > 1]
        found.note("second_submissions", len(twice), f"submitted twice: {twice[:3]}")
        held = asyncio.run(held_usd(folder / "data"))
        found.note("held_at_end", int(held > 0), f"{held} USD are held at the end")
    kinds = ("second_submissions", "unanswered", "paid_wrong", "held_at_end")
    metrics = {"kills": exact(len(steps)), **{kind: exact(found.counts[kind]) for kind in kinds}}
    config: dict[str, ConfigValue] = {"requests": REQUESTS, "provider": "stub"}
    return Report("batch kills", "generated", len(steps), job.seed, config, metrics, failures=tuple(found.examples))


def served(folder: Path, stub: StubServer) -> AbstractContextManager[RunningService]:
    """Return the service over the data dir, as a process of its own whose models are at the stub."""
    models = [
        {"name": dialect, "provider": dialect, "model": model, "base_url": url}
        for (dialect, model), url in zip(MODELS.items(), (stub.openai_url, stub.anthropic_url), strict=True)
    ]
    settings = {
        "RAGOPT_MODELS": json.dumps(models),
        "RAGOPT_BUDGETS": json.dumps([BUDGET]),
        "RAGOPT_BATCH__POLL_S": "0.1",
        "RAGOPT_BATCH__POLL_MAX_S": "0.5",
        "RAGOPT_BATCH__LOOKUP_S": "1",
        "OPENAI_API_KEY": "sk-evaluation",
        "ANTHROPIC_API_KEY": "sk-evaluation",
    }
    return running_service(folder, data_dir=folder / "data", settings=settings)


def killed_at(folder: Path, stub: StubServer, *, step: str, number: int) -> str:
    """Return the id of a batch whose service was killed at a step of it."""
    dialect, _, name = step.partition("/")
    with served(folder, stub) as service, client_of(service) as client:
        if number == 0:
            documents = [{"id": f"rule-{n}", "text": TEXT.format(n=n)} for n in range(REQUESTS)]
            client.post("/ingest", json={"documents": documents}).raise_for_status()
        if name != "accepted":
            before = ["ok"] * CALLS[dialect].index(name)
            stub.plan(*(Step(fault, dialect=dialect, model="batches") for fault in (*before, "hang")))
        hung = len(hanging(stub))
        asked = [
            # No two batches ask the same, so that no response cache answers for a provider.
            {
                "custom_id": str(n),
                "question": f"Round {number}: what is fee number {n}?",
                "model": dialect,
                "cache": "off",
            }
            for n in range(REQUESTS)
        ]
        response = client.post("/batch", json={"requests": asked}, headers={"Idempotency-Key": f"round-{number}"})
        response.raise_for_status()
        if name != "accepted":
            wait_until(lambda: len(hanging(stub)) > hung, what=f"{step} was not reached")
        os.kill(service.pid, signal.SIGKILL)
    return str(response.json()["id"])


def hanging(stub: StubServer) -> list[int]:
    """Return the numbers of the calls that the stub let hang."""
    return [call.n for call in stub.calls if call.fault == "hang"]


def inspect(service: RunningService, batch_id: str, *, found: Found, step: str) -> None:
    """Wait for the end of the batch, and count what is wrong with it."""
    with client_of(service) as client:

        def ended() -> bool:
            return client.get(f"/batch/{batch_id}").json()["ended_at"] is not None

        wait_until(ended, what=f"{step}: the batch did not end")
        batch = client.get(f"/batch/{batch_id}").json()
        lines = [json.loads(line) for line in client.get(f"/batch/{batch_id}/results").text.splitlines()]
    answers = [line["response"] for line in lines if line["response"]]
    missing = REQUESTS - len({line["custom_id"] for line in lines if line["response"]})
    found.note("unanswered", missing, f"{step}: {missing} requests have no answer: {lines[:1]}")
    paid = sum((Decimal(answer["usage"]["cost_usd"]) for answer in answers), Decimal(0))
    wrong = paid != Decimal(batch["cost_usd"])
    found.note("paid_wrong", int(wrong), f"{step}: {batch['cost_usd']} USD for answers of {paid} USD")


async def held_usd(data_dir: Path) -> Decimal:
    """Return what is held of the budget once no service runs any more."""
    settings = Settings(data_dir=data_dir, budgets=(BudgetSettings.model_validate(BUDGET),))
    async with open_service(settings) as service:
        standing = await service.accounts.meter.standing(Question("", "default"))
    return sum((Decimal(item.held_nano) / 1_000_000_000 for item in standing), Decimal(0))


def client_of(service: RunningService) -> httpx.Client:
    """Return a client of the service."""
    return httpx.Client(base_url=service.url, headers=service.headers(), timeout=30)


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    """Return once a condition holds. Raises: `BenchError` if that takes too long."""
    until = time.monotonic() + WAIT_S
    while not holds():
        if time.monotonic() > until:
            raise BenchError(what)
        time.sleep(POLL_S)
