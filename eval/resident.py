"""The memory a process has in use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from eval.errors import BenchError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Resident:
    """The resident memory of a process. anonymous: its own. mapped: of files, which the system may take back."""

    anonymous_bytes: int
    mapped_bytes: int

    def mib(self) -> float:
        """Return the whole in MiB."""
        return (self.anonymous_bytes + self.mapped_bytes) / MIB

    def anonymous_mib(self) -> float:
        """Return the process's own memory in MiB."""
        return self.anonymous_bytes / MIB


def resident(pid: int | None = None) -> Resident:
    """Return the resident memory of a process, this one for None. Raises: `BenchError` where there is no /proc."""
    status = Path(f"/proc/{os.getpid() if pid is None else pid}/status")
    if not status.is_file():
        raise BenchError(f"memory is read from {status}, which this system has not")
    fields = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())

    def size(*names: str) -> int:
        return sum(1024 * int(fields[name].split()[0]) for name in names)

    return Resident(size("RssAnon"), size("RssFile", "RssShmem"))
