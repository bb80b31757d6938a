"""Logs to check and to harm."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from ragopt.audit.chain import files_of
from ragopt.audit.events import Actor, AuditEvent, DocumentUse
from ragopt.audit.file import AuditFile

MAX_FILE_BYTES = 600


def event(n: int) -> AuditEvent:
    """Return an event that differs from those of other numbers."""
    return AuditEvent("delete", Actor("key", "acme"), f"request-{n}", documents=(DocumentUse(f"d{n}"),), at=n)


def written(folder: Path, lines: int, *, max_file_bytes: int = MAX_FILE_BYTES) -> Path:
    """Return the path of a log of so many lines, noted as being on disk; four fit a file."""
    path = folder / "audit.jsonl"
    file = AuditFile(path, max_file_bytes=max_file_bytes)
    for n in range(0, lines, 4):
        file.append([event(at) for at in range(n, min(lines, n + 4))])
    file.sync()
    return path


@cache
def contents(lines: int) -> dict[str, bytes]:
    """Return name and content of every file of a log of so many lines, which waited for the disk once."""
    with tempfile.TemporaryDirectory() as folder:
        return {file.name: file.read_bytes() for file in written(Path(folder), lines).parent.iterdir()}


def copied(folder: str, lines: int) -> Path:
    """Return the path of a copy of a log of so many lines."""
    for name, content in contents(lines).items():
        (Path(folder) / name).write_bytes(content)
    return Path(folder) / "audit.jsonl"


def all_lines(path: Path) -> list[tuple[Path, int]]:
    """Return the file and the place in it of every line, in the order of the chain."""
    return [(file, at) for file in files_of(path) for at in range(len(file.read_bytes().splitlines()))]
