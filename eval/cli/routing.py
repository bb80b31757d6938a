"""`routing` and `fit-routing`: how well difficulty is told, and the fit of what tells it."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from eval.cli.arguments import Commands, add_command, add_sets, positive
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add both."""
    routing = add_command(commands, "routing", "cost against quality of routing by difficulty, beside other orders")
    routing.epilog = "example: python -m eval routing --data path/to/routellm_mmlu"
    add_sets(routing)
    add_vectors(routing)
    routing.add_argument("--documents", type=positive, metavar="N", help="the judged documents and N others only")
    routing.set_defaults(command=run_routing)
    fit = add_command(commands, "fit-routing", "fit the difficulty scorer that ships")
    fit.epilog = "example: python -m eval fit-routing --data routellm_mmlu --data clapnq --out difficulty.json"
    add_sets(fit)
    add_vectors(fit)
    fit.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the fit")
    fit.set_defaults(command=run_fit_routing)


def add_vectors(command: argparse.ArgumentParser) -> None:
    """Add the option that keeps embeddings between runs."""
    command.add_argument("--vectors", type=Path, metavar="FILE", help="keep the prompts' embeddings here between runs")


def run_routing(arguments: argparse.Namespace) -> int:
    """Measure set by set; return 1 if a set leaves nothing to route."""
    from eval.routing.measure import RoutingJob, measure

    job = RoutingJob(arguments.limit, documents=arguments.documents, seed=arguments.seed, vectors=arguments.vectors)
    return show([asyncio.run(measure(folder, job)) for folder in arguments.data], as_lines=arguments.json)


def run_fit_routing(arguments: argparse.Namespace) -> int:
    """Fit and write the scorer."""
    from eval.routing.fit import FitRoutingJob, run

    job = FitRoutingJob(tuple(arguments.data), limit=arguments.limit, seed=arguments.seed, vectors=arguments.vectors)
    return show([run(job, arguments.out)], as_lines=arguments.json)
