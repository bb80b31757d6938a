"""`ragopt audit`: whether the audit log is what was written, and what it says."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from ragopt.audit.chain import fields_of, files_of, lines_of
from ragopt.audit.events import Act
from ragopt.audit.verifying import Verdict, verify
from ragopt.cli.arguments import add_data_dir, add_json
from ragopt.cli.terminal import complain, say, say_json
from ragopt.config import load_settings
from ragopt.errors import ConfigError

EXAMPLE = "ragopt audit verify"
# Not acts of anybody: what the writer says of the log itself.
REMARKS = ("gap", "torn")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("path", nargs="?", type=Path, metavar="PATH", help="the log (default: that of the settings)")
    add_data_dir(every)
    add_json(every)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    checking = actions.add_parser("verify", parents=[every], help="check the chain", epilog=f"Example: {EXAMPLE}")
    checking.add_argument("--known", metavar="SHA256", help="a line that the log must hold, as an earlier check said")
    checking.add_argument("--partial", action="store_true", help="the oldest files may have been taken away")
    example = "ragopt audit show --tenant acme --since 2026-01-31"
    showing = actions.add_parser("show", parents=[every], help="print lines", epilog=f"Example: {example}")
    showing.add_argument("--tenant", help="lines of one tenant only")
    showing.add_argument("--since", type=moment, help="lines from this time on: ISO 8601, UTC unless it says otherwise")
    showing.add_argument("--act", choices=get_args(Act), help="lines of one kind only")


def moment(text: str) -> datetime:
    """Return the time that a text names. Raises: `ArgumentTypeError`."""
    try:
        named = datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a date or time in ISO 8601") from error
    return named if named.tzinfo else named.replace(tzinfo=UTC)


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says; `verify` returns 1 for a broken chain. Raises: `ConfigError`, `OSError`."""
    path = arguments.path
    if path is None:
        settings = load_settings(data_dir=arguments.data_dir)
        path = settings.audit.file_in(settings.data_dir)
    if not files_of(path):
        raise ConfigError(f"there is no audit log at {path}")
    if arguments.action == "show":
        return show(path, arguments)
    verdict = verify(path, known=arguments.known, partial=arguments.partial)
    report(verdict, as_json=arguments.json)
    return 1 if verdict.broken else 0


def report(verdict: Verdict, *, as_json: bool) -> None:
    """Print what a check found; what is broken as one line on standard error."""
    lines, broken = sum(verdict.acts.values()), verdict.broken
    if as_json:
        fault = None if broken is None else {"file": broken.file, "line": broken.line, "reason": broken.reason}
        end = {"n": verdict.end.n, "sha256": verdict.end.sha256}
        found = {"files": verdict.files, "lines": lines, "acts": verdict.acts, "torn_bytes": verdict.torn_bytes}
        say_json({"whole": broken is None, **found, "end": end, "broken": fault})
        return
    remarks = "".join(f"; {verdict.acts[act]} {act}" for act in REMARKS if act in verdict.acts)
    torn = f"; a torn line of {verdict.torn_bytes} bytes at the end" if verdict.torn_bytes else ""
    say(f"{lines} lines in {verdict.files} files fit{remarks}{torn}")
    if broken is not None:
        complain(f"{broken.file}:{broken.line}: {broken.reason}")
        return
    say(f"the last is number {verdict.end.n}, SHA-256 {verdict.end.sha256}")


def show(path: Path, arguments: argparse.Namespace) -> int:
    """Print the lines that are asked for, oldest first."""
    for line, fields in lines_with_fields(path):
        if arguments.tenant not in (None, fields.get("tenant")) or arguments.act not in (None, fields.get("act")):
            continue
        if arguments.since is None or moment(str(fields["at"])) >= arguments.since:
            say(line if arguments.json else summary(fields))
    return 0


def lines_with_fields(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each line of the log and what it says, without those that say nothing."""
    for file in files_of(path):
        for raw in lines_of(file):
            fields = fields_of(raw)
            if "at" in fields:
                yield raw.decode("utf-8", "replace").rstrip("\n"), fields


def summary(fields: dict[str, object]) -> str:
    """Return a line as a person reads it: when, what, who, about what, and the documents."""
    documents = fields.get("documents")
    names = [str(item.get("id")) for item in documents if isinstance(item, dict)] if isinstance(documents, list) else []
    parts = [fields["at"], fields.get("act"), fields.get("tenant"), fields.get("key_id"), fields.get("collection")]
    told = [str(part) for part in (*parts, fields.get("subject"), " ".join(dict.fromkeys(names))) if part]
    return "  ".join(told)
