"""`faults`: what the caller of models makes of every way in which a provider fails."""

from __future__ import annotations

import argparse
import logging

from eval.cli.arguments import Commands, add_command, positive
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add it."""
    command = add_command(
        commands, "faults", "every fault of the provider stub against retries, fallback and circuit breakers"
    )
    command.epilog = "example: python -m eval faults --rounds 5"
    command.add_argument("--rounds", type=positive, default=2, metavar="N", help="how often each fault is met")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the campaign; return 1 if an answer was cut off unmarked, spliced, late or failed without a type."""
    from eval.faults import FaultJob, run_campaign

    # Breakers open by design here; a warning for each would bury the table.
    logging.getLogger("ragopt.providers").setLevel(logging.ERROR)
    report = run_campaign(FaultJob(rounds=arguments.rounds, seed=arguments.seed))
    return show([report], as_lines=arguments.json)
