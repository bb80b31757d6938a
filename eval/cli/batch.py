"""`batch`: what batches save, and whether they survive being killed."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from eval.cli.arguments import Commands, add_command, positive, share
from eval.cli.output import Result, show
from eval.errors import EvaluationError


def add_to(commands: Commands) -> None:
    """Add it."""
    command = add_command(
        commands, "batch", "the same questions live and in batches at the provider stub: cost, budget"
    )
    command.epilog = "example: python -m eval batch --data path/to/pubmedqa --kills"
    command.add_argument("--data", type=Path, action="append", default=[], metavar="DIR", help="may be repeated")
    command.add_argument("--limit", type=positive, default=1_000, metavar="N", help="questions of each set")
    command.add_argument("--repeats", type=share, default=0.1, metavar="R", help="share of them asked once more")
    command.add_argument("--kills", action="store_true", help="kill -9 the service at every step of a batch as well")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure; return 1 if a batch cost too much, was not counted, was late, or was submitted twice.

    Raises: `EvaluationError` where nothing is named that could be measured.
    """
    from eval.batch import BatchJob, measure
    from eval.batch_kills import KillJob, batch_kills

    if not arguments.data and not arguments.kills:
        raise EvaluationError("name questions with --data DIR, or --kills")
    job = BatchJob(arguments.limit, repeats=arguments.repeats, seed=arguments.seed)
    results: list[Result] = [asyncio.run(measure(folder, job)) for folder in arguments.data]
    if arguments.kills:
        results.append(batch_kills(KillJob(seed=arguments.seed)))
    return show(results, as_lines=arguments.json)
