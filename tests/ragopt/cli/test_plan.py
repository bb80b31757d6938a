"""`ragopt plan`: from the ledger of a data dir to what would pay."""

from __future__ import annotations

import asyncio
import json
import time
from decimal import Decimal
from pathlib import Path

import pytest

from ragopt.cli.entry import main
from ragopt.config import load_settings
from ragopt.domain import Usage
from ragopt.money.ledger import LedgerRow, Payer
from ragopt.wiring.books import opened_books
from tests.environment import environment


def write_calls(data_dir: Path, count: int) -> None:
    """Write calls of a minute ago into the ledger: every second one of globex, all of a feature that can wait."""

    async def write() -> None:
        async with opened_books(load_settings(data_dir=data_dir)) as books:
            for n in range(count):
                payer = Payer("globex" if n % 2 else "acme", "k1", {"feature": "reports"}, "default")
                usage = Usage(input_tokens=900, output_tokens=100, cost_usd=Decimal("0.001"))
                row = LedgerRow(
                    id=f"call-{n}",
                    answer_id=f"ans_{n}",
                    at=time.time() - 60,
                    payer=payer,
                    deployment="small",
                    provider="openai",
                    model="m",
                    tier="simple",
                    usage=usage,
                    price_version="v",
                    batch=False,
                    outcome="ok",
                )
                books.ledger.append(row)
            assert await books.outbox.flush(within_s=60)

    asyncio.run(write())


def test_a_plan_is_made_of_the_tenants_own_calls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Little data gets a sentence; with enough of it each way has a number and says what it assumes."""
    with environment():
        write_calls(tmp_path / "data", 40)
    line = ["plan", "--tenant", "acme", "--data-dir", str(tmp_path / "data")]
    with environment():
        assert main(line) == 0
    assert "20 paid calls on 1 days: not enough data" in capsys.readouterr().out
    with environment(RAGOPT_PLAN__MIN_CALLS="20", RAGOPT_PLAN__MIN_DAYS="1"):
        assert main([*line, "--can-wait", "reports"]) == 0
        shown = capsys.readouterr().out
        assert main([*line, "--json"]) == 0
    options = {item["way"]: item for item in json.loads(capsys.readouterr().out)["options"]}
    assert "batch what can wait: 100 % of the calls can wait" in shown
    assert "assumed: the features reports can wait a day" in shown
    assert options["fine_tune"]["why"] == "no call went to a stronger tier"
    assert Decimal(options["batch"]["saved_usd"]) == Decimal(options["batch"]["then_usd"]) > 0


def test_days_that_are_none_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The message names the argument."""
    assert main(["plan", "--days", "0"]) == 1
    assert "--days: at least 1" in capsys.readouterr().err
