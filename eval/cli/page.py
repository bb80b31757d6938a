"""`report`: one HTML page from saved results."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.cli.arguments import Commands
from eval.cli.output import write_text
from eval.errors import SavedError


def add_to(commands: Commands) -> None:
    """Add `report`."""
    summary = "one HTML page with tables and plots from saved results"
    command = commands.add_parser("report", help=summary, description=summary)
    command.epilog = "example: python -m eval report results.jsonl --out report.html"
    command.add_argument(
        "files", type=Path, nargs="*", metavar="FILE", help="from --save or --json; none: standard input"
    )
    command.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page; print where it is."""
    from eval.page.document import page
    from eval.saved import read_saved, results_of

    if arguments.files:
        results = read_saved(arguments.files)
    elif sys.stdin.isatty():
        raise SavedError("no results: name files from --save or --json, or pipe one in")
    else:
        results = list(results_of(sys.stdin, place="standard input"))
    if not results:
        raise SavedError("no results on standard input: name files from --save or --json, or pipe one in")
    write_text(arguments.out, page(results))
    print(arguments.out)
    return 0
