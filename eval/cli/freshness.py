"""`freshness`: whether the response cache ever serves what is stale, and what it forgets without need."""

from __future__ import annotations

import argparse

from eval.cli.arguments import Commands, add_command, positive
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add it."""
    command = add_command(
        commands, "freshness", "random ingests, updates, deletions and questions against the response cache"
    )
    command.epilog = "example: python -m eval freshness --operations 10000"
    command.add_argument("--operations", type=positive, default=10_000, metavar="N", help="how many")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run them; return 1 if anything stale was served."""
    from eval.cache.freshness import FreshnessJob, freshness

    report = freshness(FreshnessJob(operations=arguments.operations, seed=arguments.seed))
    return show([report], as_lines=arguments.json)
