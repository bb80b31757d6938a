"""`citations`, `planted` and `fit-support`: whether claims are supported, and the fit of what judges them."""

from __future__ import annotations

import argparse
from pathlib import Path

from eval.cli.arguments import Commands, add_command, add_folders, add_sets, positive
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add them."""
    citations = add_command(commands, "citations", "whether claims are called supported that are, beside labels")
    citations.epilog = "example: python -m eval citations --data path/to/climate_fever --limit 500"
    add_sets(citations)
    add_judge(citations)
    citations.set_defaults(command=run_citations)
    planted = add_command(commands, "planted", "how many citation faults are caught, planted in answers to documents")
    planted.epilog = "example: python -m eval planted --data path/to/squad_xquad --data path/to/cisi"
    add_folders(planted)
    planted.add_argument("--answers", type=positive, default=2_000, metavar="N", help="over all sets")
    add_judge(planted)
    planted.set_defaults(command=run_planted)
    fit = add_command(commands, "fit-support", "train the judge of claims and fit its calibration, which ship")
    fit.epilog = (
        "example: python -m eval fit-support --data wice --data scifact_claims --data squad_xquad --out support"
    )
    add_folders(fit)
    fit.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to write model and calibration")
    fit.add_argument("--made", type=positive, default=3_000, metavar="N", help="pairs made from documents")
    fit.add_argument("--epochs", type=positive, default=2, metavar="N", help="over the pairs")
    fit.add_argument("--without", action="append", default=[], metavar="SET", help="learn nothing from this set")
    fit.add_argument("--network", type=Path, metavar="DIR", help="a trained network: fit its calibration alone")
    fit.set_defaults(command=run_fit)


def add_judge(command: argparse.ArgumentParser) -> None:
    """Add the options that choose the judge."""
    command.add_argument("--judge", type=Path, metavar="DIR", help="model and calibration in place of what ships")
    command.add_argument("--lexical", action="store_true", help="without the model, as where it cannot run")


def run_citations(arguments: argparse.Namespace) -> int:
    """Measure set by set."""
    from eval.support.job import CitationsJob, measure
    from ragopt.stages.cite.calibration import SHIPPED

    job = CitationsJob(
        arguments.limit, judge=arguments.judge or SHIPPED, lexical=arguments.lexical, seed=arguments.seed
    )
    return show([measure(folder, job) for folder in arguments.data], as_lines=arguments.json)


def run_planted(arguments: argparse.Namespace) -> int:
    """Measure set by set; return 1 if an offset was wrong."""
    from eval.support.job import CitationsJob
    from eval.support.planted import measure
    from ragopt.stages.cite.calibration import SHIPPED

    job = CitationsJob(judge=arguments.judge or SHIPPED, lexical=arguments.lexical, seed=arguments.seed)
    return show(measure(arguments.data, job, count=arguments.answers), as_lines=arguments.json)


def run_fit(arguments: argparse.Namespace) -> int:
    """Train, fit and write."""
    from eval.support.fit import FitSupportJob, run

    job = FitSupportJob(
        tuple(arguments.data),
        made=arguments.made,
        epochs=arguments.epochs,
        without=tuple(arguments.without),
        network=arguments.network,
        seed=arguments.seed,
    )
    return show([run(job, arguments.out)], as_lines=arguments.json)
