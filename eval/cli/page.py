"""`report`: one HTML page from saved results, or how a service stands against its targets."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path

from eval.cli.arguments import Commands
from eval.cli.output import write_text
from eval.errors import SavedError


def add_to(commands: Commands) -> None:
    """Add `report`."""
    summary = "one HTML page with tables and plots from saved results; with --since: a service against its targets"
    command = commands.add_parser("report", help=summary, description=summary)
    command.epilog = "example: python -m eval report --since 7d"
    command.add_argument(
        "files", type=Path, nargs="*", metavar="FILE", help="from --save or --json; none: standard input"
    )
    command.add_argument("--out", type=Path, default=Path("report.html"), metavar="FILE", help="default: report.html")
    command.add_argument(
        "--since", metavar="DATE|7d", help="print what the ledger says of these days: gaps to [targets], techniques"
    )
    command.add_argument("--tenant", default="default", metavar="T", help="whose answers; default: default")
    command.add_argument("--data-dir", type=Path, metavar="DIR", help="of the service; default: as the settings say")
    command.add_argument("--url", metavar="URL", help="a service elsewhere; its admin key is read from RAGOPT_API_KEY")
    command.add_argument("--json", action="store_true", help="with --since: one JSON object, as GET /stats gives it")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the page and print where it is, or print how a service stands."""
    if arguments.since and arguments.files:
        raise SavedError("--since reads the ledger of a service and takes no files: make the page with another command")
    if arguments.since:
        return stand(arguments)
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


def stand(arguments: argparse.Namespace) -> int:
    """Print the gap to each target and what each technique saved; return 1 if a target is missed."""
    from eval.standing import days_since, missed, standing_at, standing_here, standing_text
    from ragopt.cli.remote import service_at
    from ragopt.config import load_settings

    settings = load_settings(data_dir=arguments.data_dir)
    days = days_since(arguments.since, today=datetime.now(UTC).date())
    if arguments.url:
        standing = standing_at(service_at(arguments.url, settings), days)
    else:
        standing = standing_here(settings, arguments.tenant, days)
    print(json.dumps(standing, ensure_ascii=False) if arguments.json else standing_text(standing))
    return 1 if missed(standing) else 0
