"""Whether a log is what was written: every line follows the one before, over all its files, up to the last known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ragopt.audit.chain import START, Link, fields_of, files_of, head_file, lines_of, link_of, read_head


@dataclass(frozen=True, slots=True)
class Break:
    """The first line that does not fit; line is counted from 1 in its file, 0 where it is about the whole file."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found. end: the last line that fits. acts: how often each is in it. torn_bytes: after the end."""

    files: int
    end: Link
    acts: dict[str, int]
    torn_bytes: int
    broken: Break | None


@dataclass(slots=True)
class Check:
    """A check under way. before: the last line that fitted; awaited: those that must be met, met ones removed."""

    before: Link | None
    awaited: set[str]
    acts: Counter[str]
    torn_bytes: int = 0

    def misfit(self, line: bytes) -> str | None:
        """Return why a line does not follow, None if it does; it is then the last one."""
        fields, link = fields_of(line), link_of(line)
        if not fields:
            return "not a JSON object: the line was edited"
        if fields.get("act") == "end_missing":
            return "lines before this one were removed, or the last of them was edited: the file ended too early"
        before = self.before or Link(link.n - 1, str(fields.get("prev")))
        if link.n != before.n + 1:
            return f"line number {before.n + 1} expected, {link.n} found: lines were removed, added or reordered"
        if fields.get("prev") != before.sha256:
            return f"does not follow line number {before.n}: that line or this one was edited"
        self.before = link
        self.awaited.discard(link.sha256)
        self.acts[str(fields.get("act"))] += 1
        return None


def verify(path: Path, *, known: str | None = None, partial: bool = False) -> Verdict:
    """Return whether the log at `path` is whole, reading every line of every file once.

    known: SHA-256 of a line that the log must hold, as an earlier check named it. partial: the oldest files may have
    been taken away. Raises: `OSError` for a file that cannot be read.
    """
    head = read_head(path)
    awaited = {link for link in (known, None if head is None or head == START else head.sha256) if link}
    check = Check(None if partial else START, awaited, Counter())
    files = files_of(path)
    broken = next((found for file in files if (found := first_break(file, check, last=file == path))), None)
    if broken is None:
        broken = missing_end(path, check, head=head, known=known)
    return Verdict(len(files), check.before or START, dict(check.acts), check.torn_bytes, broken)


def first_break(file: Path, check: Check, *, last: bool) -> Break | None:
    """Return the first line of a file that does not fit; last: whether a crash may have torn its end."""
    for number, raw in enumerate(lines_of(file), 1):
        line = raw.removesuffix(b"\n")
        if not raw.endswith(b"\n"):
            check.torn_bytes = len(raw)
            return None if last else Break(file.name, number, "the line has no end: it was cut off")
        reason = check.misfit(line)
        if reason is not None:
            return Break(file.name, number, reason)
    return None


def missing_end(path: Path, check: Check, *, head: Link | None, known: str | None) -> Break | None:
    """Return what is wrong where every line fits: a line that must be there is not, or nothing says which is the last.

    An empty log without a note of its end was never written to.
    """
    if known in check.awaited:
        return Break(path.name, 0, f"no line has the SHA-256 {known}: the log was rewritten, or cut before it")
    if check.awaited and head is not None:
        return Break(path.name, 0, f"line number {head.n} is not the one that was written: it was edited or removed")
    if head is None and check.before not in (None, START):
        return Break(head_file(path).name, 0, "missing or not readable: nothing says which line is the last")
    return None
