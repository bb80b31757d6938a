"""Arguments that several commands share."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path

from pydantic_core import PydanticCustomError

from indexes.facets import MetadataFilter
from ragopt.api.fields import collection_name
from ragopt.api.filters import MAX_FILTER_KEYS, filter_values
from ragopt.domain import Scalar
from ragopt.errors import InvalidRequest

UNITS_S = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
DURATION = re.compile(r"(?P<number>\d{1,9})(?P<unit>[smhd])|(?P<none>0)")


def add_collection(parser: argparse.ArgumentParser, *, purpose: str) -> None:
    """Declare `--collection`."""
    parser.add_argument("--collection", type=collection, default="default", help=f"{purpose} (default: default)")


def add_place(parser: argparse.ArgumentParser) -> None:
    """Declare `--data-dir` and `--url`: where the documents are."""
    add_data_dir(parser)
    parser.add_argument("--url", help="a running service; its key is read from RAGOPT_API_KEY")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Declare `--data-dir`."""
    parser.add_argument("--data-dir", type=Path, help="the folder of the embedded engines (default: .ragopt)")


def add_json(parser: argparse.ArgumentParser) -> None:
    """Declare `--json`."""
    parser.add_argument("--json", action="store_true", help="print JSON, for a program to read")


def add_filter(parser: argparse.ArgumentParser) -> None:
    """Declare `--filter`, which `filter_of` reads."""
    parser.add_argument(
        "--filter",
        type=filter_pair,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="only documents with this metadata; VALUE is JSON, else a string; a key given twice means either value",
    )


def filter_pair(text: str) -> tuple[str, tuple[Scalar, ...]]:
    """Return key and values of `KEY=VALUE`. Raises: `ArgumentTypeError`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not KEY=VALUE")
    try:
        return key, filter_values(value_of(value))
    except PydanticCustomError as error:
        raise argparse.ArgumentTypeError(f"{key}: {error.message()}") from error


def duration_s(text: str) -> float:
    """Return the seconds of `90s`, `30m`, `24h`, `7d` or `0`. Raises: `ArgumentTypeError`."""
    form = DURATION.fullmatch(text.strip())
    if form is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 30m, 24h or 7d")
    return float(form["number"] or 0) * UNITS_S[form["unit"] or "s"]


def value_of(text: str) -> object:
    """Return the JSON value that a text is, or the text itself: `NaN`, which is not JSON, is a word."""

    def refuse(constant: str) -> object:
        raise ValueError(constant)

    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return text


def filter_of(pairs: Sequence[tuple[str, tuple[Scalar, ...]]]) -> MetadataFilter:
    """Return the filter of all `--filter`; a key given twice has the values of both. Raises: `InvalidRequest`."""
    matching: dict[str, tuple[Scalar, ...]] = {}
    for key, values in pairs:
        matching[key] = matching.get(key, ()) + values
    if len(matching) > MAX_FILTER_KEYS:
        raise InvalidRequest(f"--filter: at most {MAX_FILTER_KEYS} keys are allowed")
    return matching


def collection(name: str) -> str:
    """Return `name` if a service would take it. Raises: `ArgumentTypeError`."""
    try:
        return collection_name(name)
    except PydanticCustomError as error:
        raise argparse.ArgumentTypeError(error.message()) from error
