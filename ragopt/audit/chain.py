"""How lines are sealed: each holds its number and the SHA-256 of the line before, so none can change unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ragopt.audit.events import AuditEvent, to_json

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Link:
    """A line of the chain: its number, counted from 1, and its SHA-256 in hex. Before the first: 0, and zeros."""

    n: int
    sha256: str


START = Link(0, GENESIS)


def sealed(event: AuditEvent, before: Link) -> tuple[bytes, Link]:
    """Return the event as the line after `before`, without its end, and the link that the line is."""
    line = to_json({"n": before.n + 1, "prev": before.sha256, **event.content()})
    return line, Link(before.n + 1, hashlib.sha256(line).hexdigest())


def link_of(line: bytes) -> Link:
    """Return the link of a line as it stands in a file; n is 0 where the line does not say it."""
    number = fields_of(line).get("n")
    return Link(number if isinstance(number, int) else 0, hashlib.sha256(line).hexdigest())


def fields_of(line: bytes) -> dict[str, object]:
    """Return what a line says, {} for one that is not a JSON object."""
    with suppress(ValueError, RecursionError):
        found = json.loads(line)
        if isinstance(found, dict):
            return found
    return {}


def files_of(path: Path) -> list[Path]:
    """Return the files of a log in the order of the chain: those put aside, by their number, then the one in use."""
    aside = [
        file
        for file in path.parent.glob(f"{path.name}.*")
        if file.suffix[1:].isascii() and file.suffix[1:].isdigit() and file.stem == path.name
    ]
    aside.sort(key=lambda file: int(file.suffix[1:]))
    return [*aside, *([path] if path.exists() else [])]


def head_file(path: Path) -> Path:
    """Return where the last line that is known to be on disk is noted."""
    return path.with_name(f"{path.name}.head")


def read_head(path: Path) -> Link | None:
    """Return the last line that was known to be on disk, None where nothing is noted or it is not readable."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        noted = json.loads(head_file(path).read_bytes())
        return Link(int(noted["n"]), str(noted["sha256"]))
    return None


def lines_of(file: Path) -> Iterator[bytes]:
    """Yield the lines of a file with their ends; the last one lacks its own if it is torn."""
    with file.open("rb") as opened:
        yield from opened
