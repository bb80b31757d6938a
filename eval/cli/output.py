"""Results on the terminal and in files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from eval.comparison import Comparison, comparison_json, comparison_table
from eval.errors import SavedError
from eval.report import Report, as_json, as_table

Result: TypeAlias = Report | Comparison

FAILURES_SHOWN = 3


def show(results: Sequence[Result], *, as_lines: bool) -> int:
    """Print the results and, on standard error, what must not happen and did; return 1 if anything did."""
    for result in results:
        print(line_of(result) if as_lines else table_of(result))
    return complain(results)


def complain(results: Sequence[Result]) -> int:
    """Print on standard error what must not happen and did; return 1 if anything did."""
    for result in results:
        if isinstance(result, Report) and result.failures:
            examples = "; ".join(result.failures[:FAILURES_SHOWN])
            print(f"eval: {result.set}: {len(result.failures)} failures, for example: {examples}", file=sys.stderr)
    return 1 if any(isinstance(result, Report) and result.failures for result in results) else 0


def line_of(result: Result) -> str:
    """Return a result as one line of JSON."""
    return as_json(result) if isinstance(result, Report) else comparison_json(result)


def table_of(result: Result) -> str:
    """Return a result as lines of text for a person."""
    return as_table(result) if isinstance(result, Report) else comparison_table(result)


def refuse_missing_folder(path: Path) -> None:
    """Raise `SavedError` if a file cannot be written there: said before minutes of measuring, not after."""
    if path.is_dir() or not path.parent.is_dir():
        raise SavedError(f"{path}: {'is a folder' if path.is_dir() else 'its folder is not there'}")


def write_text(path: Path, text: str) -> None:
    """Write a file, replacing what was there only when all of it is written. Raises: `SavedError`."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    except OSError as error:
        raise SavedError(f"{path}: {error.strerror}") from error
