"""The log beside a service: nothing waits for it, and what is lost is counted."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

from ragopt.audit.events import Text
from ragopt.audit.file import AuditFile
from ragopt.audit.trail import AuditTrail, NoAudit
from ragopt.audit.verifying import verify
from tests.ragopt.audit.logs import event


def trail(path: Path, *, text: bool = False, max_waiting: int = 100) -> AuditTrail:
    """Return a trail that writes to `path`."""
    return AuditTrail(AuditFile(path, max_file_bytes=1_000_000), text=text, max_waiting=max_waiting)


def test_what_was_recorded_is_written_by_the_end(tmp_path: Path) -> None:
    """The block ends with every line on disk and the last one noted."""
    path = tmp_path / "audit.jsonl"

    async def scenario() -> None:
        async with trail(path) as audit:
            for n in range(50):
                audit.record(event(n))
                await asyncio.sleep(0)

    asyncio.run(scenario())
    verdict = verify(path)
    assert (verdict.broken, verdict.acts) == (None, {"delete": 50})


def test_overload_is_a_gap(tmp_path: Path) -> None:
    """What finds no room is lost, and a line says how many were."""
    path = tmp_path / "audit.jsonl"

    async def scenario() -> None:
        async with trail(path, max_waiting=10) as audit:
            for n in range(25):
                audit.record(event(n))

    asyncio.run(scenario())
    fields = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [item["act"] for item in fields] == ["delete"] * 10 + ["gap"]
    assert fields[-1]["count"] == 15


def test_texts_are_written_on_request_only(tmp_path: Path) -> None:
    """Without the setting no word of question or answer is in the log."""
    said = replace(event(1), text=Text("who is it?", "nobody"))

    async def scenario(path: Path, *, text: bool) -> None:
        async with trail(path, text=text) as audit:
            audit.record(said)

    def logged(*, text: bool) -> bytes:
        path = tmp_path / str(text) / "audit.jsonl"
        asyncio.run(scenario(path, text=text))
        return path.read_bytes()

    without = logged(text=False)
    assert b"who is it" not in without
    assert b"nobody" not in without
    assert b'"text":{"question":"who is it?","answer":"nobody"}' in logged(text=True)


def test_lines_wait_for_a_disk_that_takes_none(tmp_path: Path) -> None:
    """A write that fails is tried again, and loses nothing."""
    path = tmp_path / "audit.jsonl"
    path.mkdir()

    async def scenario() -> None:
        async with trail(path) as audit:
            audit.record(event(1))
            await asyncio.sleep(0.05)
            path.rmdir()

    asyncio.run(scenario())
    assert verify(path).acts == {"delete": 1}


def test_an_audit_that_is_off_forgets() -> None:
    """Nothing is kept where no audit is wanted."""
    audit = NoAudit()
    audit.record(event(1))
    assert not hasattr(audit, "__dict__") or vars(audit) == {}
