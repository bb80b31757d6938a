"""`drift`: what seven weeks of a support assistant cost."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from eval.cli.arguments import Commands, add_command, positive
from eval.cli.output import refuse_missing_folder, show, write_text


def add_to(commands: Commands) -> None:
    """Add it."""
    drift = add_command(commands, "drift", "simulate the bills of a growing support assistant, step by step")
    drift.epilog = "example: python -m eval drift --data path/to/chroma_chunking --outcomes path/to/routellm_mmlu"
    drift.add_argument("--data", type=Path, required=True, metavar="DIR", help="questions with reference spans")
    drift.add_argument("--outcomes", type=Path, required=True, metavar="DIR", help="recorded outcomes of two models")
    drift.add_argument("--limit", type=positive, metavar="N", help="only the first N questions")
    drift.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the weekly bills")
    drift.set_defaults(command=run_drift)


def run_drift(arguments: argparse.Namespace) -> int:
    """Simulate, print, and draw if asked."""
    from eval.drift.command import DriftJob, measure

    if arguments.plot is not None:
        refuse_missing_folder(arguments.plot)
    job = DriftJob(arguments.outcomes, limit=arguments.limit, seed=arguments.seed)
    found = asyncio.run(measure(arguments.data, job))
    if arguments.plot is not None:
        write_text(arguments.plot, found.chart.svg())
    return show([found.report], as_lines=arguments.json)
