"""`cache` and `fit-verifier`: how well cached questions are told apart, and the training of what tells them."""

from __future__ import annotations

import argparse
from pathlib import Path

from eval.cli.arguments import Commands, add_command, add_folders, add_sets, positive
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add both."""
    cache = add_command(commands, "cache", "duplicates served by the semantic cache at a share of wrong answers")
    cache.epilog = "example: python -m eval cache --data path/to/qqp_gptcache"
    add_sets(cache)
    cache.add_argument("--model", type=Path, metavar="DIR", help="a verifier that `fit-verifier` wrote; else ours")
    cache.set_defaults(command=run_cache)
    fit = add_command(commands, "fit-verifier", "train the verifier that ships")
    fit.epilog = "example: python -m eval fit-verifier --data qqp_gptcache --data canard --out verifier"
    add_folders(fit)
    fit.add_argument("--epochs", type=positive, default=2, metavar="N", help="over all pairs; default 2")
    fit.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write the model")
    fit.set_defaults(command=run_fit)


def run_cache(arguments: argparse.Namespace) -> int:
    """Measure set by set."""
    from eval.cache.measure import CacheJob, run
    from ragopt.stages.cache.verifier import SHIPPED

    job = CacheJob(arguments.limit, seed=arguments.seed, model=arguments.model or SHIPPED)
    return show(run(arguments.data, job), as_lines=arguments.json)


def run_fit(arguments: argparse.Namespace) -> int:
    """Train and write the verifier."""
    from eval.cache.fit import FitVerifierJob, run

    job = FitVerifierJob(tuple(arguments.data), epochs=arguments.epochs, seed=arguments.seed)
    return show([run(job, arguments.out)], as_lines=arguments.json)
