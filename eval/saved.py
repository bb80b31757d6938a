"""Files of results: the lines that `--json` prints and `--save` writes, read back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from pydantic import TypeAdapter, ValidationError

from eval.comparison import Comparison
from eval.errors import SavedError
from eval.report import Report

Result: TypeAlias = Report | Comparison

# The mean of rounded values, rounded itself.
TOLERANCE = 1e-5
REPORT: TypeAdapter[Report] = TypeAdapter(Report)
COMPARISON: TypeAdapter[Comparison] = TypeAdapter(Comparison)


def read_saved(paths: Sequence[Path]) -> list[Result]:
    """Return the results of files, in order. Raises: `SavedError` naming file and line, or if there are none."""
    results: list[Result] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").split("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise SavedError(f"{path}: {reason}") from error
        found = list(results_of(lines, place=str(path)))
        if not found:
            raise SavedError(f"{path}: no results in it; write them with `--save` or `--json`")
        results += found
    return results


def results_of(lines: Iterable[str], *, place: str) -> Iterator[Result]:
    """Yield the result of each line, blank lines left out. Raises: `SavedError` at a line that is none."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield checked(result_of(line, place=f"{place}:{number}"), place=f"{place}:{number}")


def result_of(line: str, *, place: str) -> Result:
    """Return a comparison from a line that says what it is against, else a report. Raises: `SavedError`."""
    try:
        fields = json.loads(line)
        if isinstance(fields, dict) and "against" in fields:
            return COMPARISON.validate_python(fields)
        return REPORT.validate_python(fields)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SavedError(f"{place}: not a result: {where}{': ' if where else ''}{first['msg']}") from error
    except ValueError as error:
        raise SavedError(f"{place}: not JSON: {error}") from error


def checked(result: Result, *, place: str) -> Result:
    """Return the result. Raises: `SavedError` if its values per case are too few or not those of its means."""
    cases = result.cases if isinstance(result, Report) else None
    if cases is None:
        return result
    for name, column in cases.values.items():
        if len(column) != len(cases.ids):
            raise SavedError(f"{place}: {name} has {len(column)} values for {len(cases.ids)} cases")
        mean = sum(column) / len(column)
        said = result.metrics[name].value if name in result.metrics else mean
        if abs(mean - said) > TOLERANCE * max(1.0, abs(said)):
            raise SavedError(f"{place}: {name} is {said:g}, the mean of its values per case {mean:g}")
    return result
