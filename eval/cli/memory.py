"""`memory`: what is kept of long conversations."""

from __future__ import annotations

import argparse
import asyncio

from eval.cli.arguments import Commands, add_command, add_sets, assignments
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add it."""
    memory = add_command(commands, "memory", "how much of what a question needs of a long conversation is sent")
    memory.epilog = "example: python -m eval memory --data path/to/locomo"
    add_sets(memory)
    memory.add_argument(
        "--set",
        type=assignments,
        action="extend",
        metavar="NAME=VALUE[,…]",
        help="settings that replace those in force",
    )
    memory.set_defaults(command=run_memory)


def run_memory(arguments: argparse.Namespace) -> int:
    """Measure set by set; return 1 if a budget was broken."""
    from eval.configuration import overrides_of
    from eval.memory import MemoryJob, measure

    job = MemoryJob(arguments.limit, seed=arguments.seed, overrides=overrides_of(arguments.set or ()))
    return show([asyncio.run(measure(folder, job)) for folder in arguments.data], as_lines=arguments.json)
