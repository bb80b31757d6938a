"""`rerank`: what a cross-encoder adds."""

from __future__ import annotations

import argparse
import asyncio

from eval.cli.arguments import Commands, add_command, add_sets
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add it."""
    command = add_command(
        commands, "rerank", "what a cross-encoder adds to late interaction, within its deadline or not"
    )
    command.epilog = "example: python -m eval rerank --data path/to/scifact --model cross-encoder/ms-marco-MiniLM-L6-v2"
    add_sets(command)
    command.add_argument("--model", metavar="MODEL", help="a path, hub id or address; default: RAGOPT_RERANK_MODEL")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure reranking set by set; return 1 if a question or the cross-encoder failed."""
    from eval.datasets import read_dataset
    from eval.rerank import RerankJob, measure

    job = RerankJob(limit=arguments.limit, model=arguments.model, seed=arguments.seed)
    reports = [asyncio.run(measure(read_dataset(folder), job)) for folder in arguments.data]
    return show(reports, as_lines=arguments.json)
