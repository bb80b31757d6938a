"""`python -m eval report --since`: a service against its targets."""

from __future__ import annotations

import asyncio
import json
import time
from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from eval.__main__ import main
from eval.errors import ConfigurationError
from eval.standing import days_since
from ragopt.config import load_settings
from ragopt.domain import Usage
from ragopt.money.ledger import AnswerRow, LedgerRow, Payer
from ragopt.wiring.books import opened_books
from tests.environment import environment

TODAY = date(2026, 11, 20)


@pytest.mark.parametrize(("text", "days"), [("7d", 7), ("1d", 1), ("2026-11-20", 1), ("2026-11-14", 7)])
def test_since_is_a_number_of_days_or_a_date(text: str, days: int) -> None:
    """Today is one of the days."""
    assert days_since(text, today=TODAY) == days


@pytest.mark.parametrize("text", ["0d", "400d", "2026-11-21", "yesterday", "d", "-3d"])
def test_any_other_since_is_refused_in_words(text: str) -> None:
    """The error says what may stand there."""
    with pytest.raises(ConfigurationError, match=r"--since: .* is neither a date"):
        days_since(text, today=TODAY)


def write_answers(data_dir: Path, *, tenant: str) -> None:
    """Write 30 answers of today, each of which took a second, and a call that failed into the ledger of a data dir."""
    failed = LedgerRow(
        id="call-1",
        answer_id="ans_1",
        at=time.time(),
        payer=Payer(tenant, "k1", {}, "default"),
        deployment="small",
        provider="openai",
        model="m",
        tier="simple",
        usage=Usage(cost_usd=Decimal(0)),
        price_version="v",
        batch=False,
        outcome="error",
        error="provider_throttled",
    )

    async def write() -> None:
        async with opened_books(load_settings(data_dir=data_dir)) as books:
            for n in range(30):
                payer = Payer(tenant, "k1", {}, "default")
                row = AnswerRow(f"ans_{n}", time.time(), payer, "small", None, claims=2, supported=1, latency_ms=1_000)
                books.ledger.answered(row)
            books.ledger.append(failed)
            assert await books.outbox.flush(within_s=60)

    asyncio.run(write())


def test_gaps_are_printed_the_largest_first_and_missed_ones_end_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The ledger of a data dir is read without a service, of the tenant that is named; no target: exit code 0."""
    with environment():
        write_answers(tmp_path / "data", tenant="acme")
    line = ["report", "--since", "2d", "--tenant", "acme", "--data-dir", str(tmp_path / "data")]
    with environment():
        assert main(line) == 0
    assert "no target is set" in capsys.readouterr().out
    with environment(RAGOPT_TARGETS__SUPPORTED_SHARE="0.9", RAGOPT_TARGETS__LATENCY_P95_MS="2000"):
        assert main(line) == 1
        assert main([*line, "--json"]) == 1
    *shown, as_json = capsys.readouterr().out.splitlines()
    assert shown[0] == "acme, last 2 days: 30 answers, 0 model calls, failed attempts: 1"
    assert [row.split()[0] for row in shown[4:6]] == ["supported_share", "latency_p95_ms"]
    assert [row.split()[-2] for row in shown[4:6]] == ["missed", "met"]
    assert sum("saves nothing" in row for row in shown) == 8
    assert json.loads(as_json)["quality"]["supported"] == 30


def test_files_and_days_do_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    """One command makes a page of results, another reads the ledger."""
    assert main(["report", "results.jsonl", "--since", "7d"]) == 1
    assert "takes no files" in capsys.readouterr().err
