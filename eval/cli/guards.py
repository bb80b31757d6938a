"""`pii`: how well what must not get in or out is told from what may."""

from __future__ import annotations

import argparse

from eval.cli.arguments import Commands, add_command, add_sets
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add it."""
    pii = add_command(commands, "pii", "recall and precision of the recognisers of personal data")
    pii.epilog = "example: python -m eval pii --data shared/data/presidio_pii"
    add_sets(pii)
    pii.set_defaults(command=run_pii)


def run_pii(arguments: argparse.Namespace) -> int:
    """Measure set by set."""
    from eval.personal import measure

    reports = [measure(folder, limit=arguments.limit, seed=arguments.seed) for folder in arguments.data]
    return show(reports, as_lines=arguments.json)
