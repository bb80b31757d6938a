"""`campaign`: kills, cuts, floods and fuzz, one experiment after the other, and a table of what came of them."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eval.cli.arguments import Commands, add_command

if TYPE_CHECKING:
    from eval.campaign.running import Row

SHOWN_FAILURES = 5


def add_to(commands: Commands) -> None:
    """Add it."""
    summary = "kill, cut, slow, fill and fuzz everything, and count what must be 0"
    command = add_command(commands, "campaign", summary)
    command.epilog = "example: python -m eval campaign --only kills,redis --minutes 10"
    command.add_argument("--only", type=names, default=(), metavar="NAME,NAME", help="of those that --list shows")
    command.add_argument("--list", action="store_true", help="show the experiments and run none")
    command.add_argument("--minutes", type=minutes, metavar="M", help="shorten all of them to about so long in all")
    command.add_argument("--resume", action="store_true", help="keep what the folder has of the same size and seed")
    command.add_argument(
        "--out", type=Path, default=Path(".campaign"), metavar="DIR", help="for one JSON file per experiment"
    )
    command.add_argument("--qdrant-url", default="", metavar="URL", help="of a server in place of the stand-in")
    command.set_defaults(command=run)


def names(text: str) -> tuple[str, ...]:
    """Return the names in a list."""
    return tuple(name for name in text.split(",") if name)


def minutes(text: str) -> float:
    """Return a positive number of minutes. Raises: `ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of minutes")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Run the experiments and print the table; return 1 if one failed."""
    from eval.campaign.registry import experiments
    from eval.campaign.running import CampaignJob, campaign
    from eval.campaign.table import table

    every = experiments(qdrant_url=arguments.qdrant_url)
    if arguments.list:
        for experiment in every:
            print(f"{experiment.name:<11}  {experiment.minutes:>4g} min  {experiment.what}")
        return 0
    # Breakers open and dependencies vanish by design; a warning for each would bury the table.
    logging.disable(logging.WARNING)
    job = CampaignJob(
        arguments.out,
        only=arguments.only,
        minutes=arguments.minutes,
        resume=arguments.resume,
        seed=arguments.seed,
    )
    rows = []
    for row in campaign(every, job, began=say):
        rows.append(row)
        tell(row, as_line=arguments.json)
    if not arguments.json:
        print(table(rows))
    return 1 if any(row.verdict == "failed" for row in rows) else 0


def say(line: str) -> None:
    """Print a line of progress on standard error."""
    print(line, file=sys.stderr)


def tell(row: Row, *, as_line: bool) -> None:
    """Print what an experiment came to: as JSON on standard output where asked for, and its failures."""
    from eval.report import as_json

    if as_line:
        print(as_json(row.report))
    for failure in row.report.failures[:SHOWN_FAILURES]:
        say(f"eval: {row.experiment.name}: {failure}")
    say(f"{row.experiment.name}: {row.verdict} after {row.took_s / 60:.1f} minutes")
