"""`capacity`: what a deployment must hold, projected from what one machine was measured to do."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from eval.cli.arguments import Commands, positive, share


def add_to(commands: Commands) -> None:
    """Add it."""
    summary = "what a deployment needs for so many chunks and answers a second: arithmetic, no measurement"
    command = commands.add_parser("capacity", help=summary, description=summary)
    command.epilog = "example: python -m eval capacity --chunks 100000000 --per-second 1000"
    command.add_argument("--chunks", type=positive, default=100_000_000, metavar="N", help="default: 100 million")
    command.add_argument("--per-second", type=positive, default=1_000, metavar="N", help="answers; default: 1,000")
    command.add_argument("--cached", type=share, default=0.0, metavar="R", help="share that the response cache answers")
    command.add_argument("--busy", type=share, default=0.6, metavar="R", help="how busy processors may be; default 0.6")
    command.add_argument("--copies", type=positive, default=2, metavar="N", help="of each shard; default 2")
    command.add_argument("--json", action="store_true", help="one JSON object")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the arithmetic. Raises: `ConfigurationError`."""
    from eval.capacity import Aim, Figures, capacity_text, needs, stages
    from eval.errors import ConfigurationError

    if not arguments.busy:
        raise ConfigurationError("--busy: processors that may not be busy do nothing")
    aim = Aim(
        arguments.chunks,
        arguments.per_second,
        busy=arguments.busy,
        copies=arguments.copies,
        cached=arguments.cached,
    )
    figures = Figures()
    if arguments.json:
        ways, parts = ([asdict(item) for item in found] for found in (stages(aim, figures), needs(aim, figures)))
        print(json.dumps({"aim": asdict(aim), "figures": asdict(figures), "stages": ways, "needs": parts}))
    else:
        print(capacity_text(aim, figures))
    return 0
