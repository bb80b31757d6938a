"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from pydantic_core import PydanticCustomError

from ragopt.api.schemas import collection_name


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


def collection(name: str) -> str:
    """Return `name` if a service would take it. Raises: `ArgumentTypeError`."""
    try:
        return collection_name(name)
    except PydanticCustomError as error:
        raise argparse.ArgumentTypeError(error.message()) from error
