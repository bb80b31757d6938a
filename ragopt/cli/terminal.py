"""What the commands say: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence


def say(line: str = "") -> None:
    """Write one line of the result."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say_json(value: object) -> None:
    """Write the result as one JSON value."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


def stream(text: str) -> None:
    """Write a piece of the result without ending the line."""
    sys.stdout.write(text)
    sys.stdout.flush()


def complain(line: str) -> None:
    """Write one line about what went wrong or how it goes."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def say_table(rows: Sequence[Sequence[str]]) -> None:
    """Write rows of equal length with their columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
