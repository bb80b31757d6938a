"""The log on disk: several processes append in turns, a torn end is put aside, a full file makes room for the next."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ragopt.audit.chain import START, Link, files_of, head_file, link_of, read_head, sealed
from ragopt.audit.events import Actor, AuditEvent
from ragopt.state.file_lock import locked

BLOCK = 64 * 1024
NOBODY = Actor("", "")


class AuditFile:
    """The log at `path`. Nothing of it is kept in memory: each call reads where the chain ends, under a lock.

    A command may therefore write beside a service, and two services on one disk. Methods block, and raise `OSError`;
    an append that failed has left nothing behind.
    """

    def __init__(self, path: Path, *, max_file_bytes: int) -> None:
        self._path = path
        self._max_file_bytes = max_file_bytes

    def append(self, events: Sequence[AuditEvent]) -> None:
        """Write the events as the next lines of the chain; they outlive the process, `sync` makes them outlive power.

        What an earlier crash or another's hand did to the end of the file is written down first.
        """
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(self._lock_path()):
            torn = self._put_torn_end_aside()
            link, lost = self._end()
            if not lost and self._path.exists() and self._path.stat().st_size >= self._max_file_bytes:
                self._put_aside()
            self._write([*torn, *lost, *events], link)
            if torn or lost:
                self._note_end()

    def sync(self) -> None:
        """Return once every line is on disk, and note the last one: from here on, its loss is found."""
        if self._path.exists():
            with locked(self._lock_path()):
                self._note_end()

    def _lock_path(self) -> Path:
        return self._path.with_name(f"{self._path.name}.lock")

    def _put_torn_end_aside(self) -> list[AuditEvent]:
        """Cut what follows the last line end to a file of its own; return the line that says so."""
        if not self._path.exists():
            return []
        with self._path.open("r+b") as file:
            whole = end_of_lines(file.fileno())
            torn = os.pread(file.fileno(), os.fstat(file.fileno()).st_size - whole, whole)
            if not torn:
                return []
            with self._path.with_name(f"{self._path.name}.torn").open("ab") as aside:
                os.fchmod(aside.fileno(), 0o600)
                aside.write(torn + b"\n")
                aside.flush()
                os.fsync(aside.fileno())
            file.truncate(whole)
        digest = hashlib.sha256(torn).hexdigest()
        return [AuditEvent("torn", NOBODY, subject=f"sha256:{digest}", count=len(torn))]

    def _end(self) -> tuple[Link, list[AuditEvent]]:
        """Return the last line, and a line that says so where the file ends before what was known to be on disk."""
        link = next((link_of(last) for file in reversed(files_of(self._path)) if (last := last_line(file))), START)
        head = read_head(self._path)
        if head is None or link.n > head.n or link == head:
            return link, []
        return link, [AuditEvent("end_missing", NOBODY, subject=f"sha256:{head.sha256}", count=head.n)]

    def _put_aside(self) -> None:
        """Rename the full file to the next number; the chain goes on in a new one."""
        self._note_end()
        aside = [int(file.suffix[1:]) for file in files_of(self._path) if file != self._path]
        self._path.rename(self._path.with_name(f"{self._path.name}.{max(aside, default=0) + 1:06d}"))

    def _write(self, events: Sequence[AuditEvent], link: Link) -> None:
        """Append the events after `link`, all or nothing."""
        lines = []
        for event in events:
            line, link = sealed(event, link)
            lines.append(line + b"\n")
        file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            before = os.fstat(file).st_size
            try:
                write_all(file, b"".join(lines))
            except OSError:
                # A full disk takes part of it. What is left of a line would be a torn one.
                with suppress(OSError):
                    os.ftruncate(file, before)
                raise
        finally:
            os.close(file)

    def _note_end(self) -> None:
        """Bring the file to disk, then the note of its last line: the note is never ahead of the file."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())
        last = last_line(self._path)
        if not last:
            return
        link, target = link_of(last), head_file(self._path)
        fresh = target.with_name(f"{target.name}.new")
        with fresh.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(json.dumps({"n": link.n, "sha256": link.sha256}).encode())
        fresh.replace(target)


def write_all(file: int, data: bytes) -> None:
    """Write all of `data`: a single write may take less. Raises: `OSError`."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def end_of_lines(file: int) -> int:
    """Return the offset after the last line end, 0 where there is none."""
    end = os.fstat(file).st_size
    while end > 0:
        start = max(0, end - BLOCK)
        found = os.pread(file, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def last_line(path: Path) -> bytes:
    """Return the last whole line without its end, b"" where there is none."""
    with path.open("rb") as file:
        end = end_of_lines(file.fileno())
        start, found = max(0, end - 1), b""
        while start > 0 and b"\n" not in found:
            step = max(0, start - BLOCK)
            found = os.pread(file.fileno(), start - step, step) + found
            start = step
        return found.rpartition(b"\n")[2]
