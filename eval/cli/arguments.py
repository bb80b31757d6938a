"""What the subcommands' options have in common, and how the text of one becomes a value."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_command(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    """Return the parser of a new subcommand with the options that all have."""
    command = commands.add_parser(name, help=summary, description=summary)
    command.add_argument("--json", action="store_true", help="one JSON object per set")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="of everything drawn at random")
    return command


def add_sets(command: argparse.ArgumentParser) -> None:
    """Add the options of a subcommand that asks the questions of data folders."""
    add_folders(command)
    command.add_argument("--limit", type=positive, metavar="N", help="only the first N questions of a set")


def add_folders(command: argparse.ArgumentParser) -> None:
    """Add the option of a subcommand that reads whole data folders."""
    command.add_argument("--data", type=Path, action="append", required=True, metavar="DIR", help="may be repeated")


def add_configurations(command: argparse.ArgumentParser) -> None:
    """Add the options that name settings, compare two configurations and save what was measured."""
    command.add_argument(
        "--set",
        type=assignments,
        action="extend",
        metavar="NAME=VALUE[,…]",
        help="settings that replace those in force",
    )
    command.add_argument(
        "--against",
        type=assignments,
        action="extend",
        metavar="NAME=VALUE[,…]",
        help="a second configuration: those in force with these; both are measured and compared question by question",
    )
    command.add_argument("--save", type=Path, metavar="FILE", help="write what --json prints, for `gate` and `report`")


def positive(text: str) -> int:
    """Return a whole number of at least 1. Raises: `ArgumentTypeError`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def budgets(text: str) -> tuple[int, ...]:
    """Return distinct positive numbers, ascending, from `N,N`. Raises: `ArgumentTypeError`."""
    return tuple(sorted({positive(part) for part in text.split(",")}))


def assignments(text: str) -> tuple[tuple[str, str], ...]:
    """Return names with their values from `name=value,name=value`. Raises: `ArgumentTypeError`."""
    pairs = [part.partition("=") for part in text.split(",")]
    for name, sign, _ in pairs:
        if not name.strip() or not sign:
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form name=value,name=value")
    return tuple((name.strip(), value.strip()) for name, _, value in pairs)


def share(text: str) -> float:
    """Return a share in [0, 1]. Raises: `ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share between 0 and 1")
    return value
