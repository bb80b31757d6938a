"""`tune`: the knobs searched on a user's own questions."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from eval.cli.arguments import Commands, add_command, positive
from eval.cli.output import complain
from eval.errors import EvaluationError


def add_to(commands: Commands) -> None:
    """Add it."""
    command = add_command(commands, "tune", "search the knobs on your questions; write knobs.toml for the service")
    command.epilog = "example: python -m eval tune --corpus handbook/ --questions questions.jsonl --out tuning"
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="a data set with questions")
    source.add_argument("--corpus", type=Path, nargs="+", metavar="PATH", help="your files, folders or JSON lines")
    command.add_argument("--questions", type=Path, metavar="FILE", help="with --corpus; without: derived from it")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="report, plot, trials and knobs.toml")
    command.add_argument("--limit", type=positive, metavar="N", help="at most N questions, drawn at random")
    command.add_argument("--tolerance", type=points, default=2.0, metavar="P", help="points `cost` may lose: 2")
    command.add_argument("--answers", type=Path, metavar="FILE", help="recorded, graded answers: tunes the tiers")
    command.add_argument("--pairs", type=Path, metavar="FILE", help="labelled pairs of questions: the cache's bound")
    command.add_argument(
        "--wrong-costs", type=ratio, default=10.0, metavar="N", help="right answers that a wrong one outweighs: 10"
    )
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Search the knobs and write what was found; return 1 if a question failed."""
    from eval.report import as_json
    from eval.tune.command import TuneJob, tune
    from eval.tune.questions import Wanted
    from eval.tune.report import markdown, report_of

    if arguments.questions and not arguments.corpus:
        raise EvaluationError("--questions: they belong to a --corpus; a --data folder has its own")
    wanted = Wanted(
        arguments.data, tuple(arguments.corpus or ()), arguments.questions, limit=arguments.limit, seed=arguments.seed
    )
    job = TuneJob(
        wanted,
        arguments.out,
        tolerance=arguments.tolerance / 100,
        answers=arguments.answers,
        pairs=arguments.pairs,
        wrong_costs=arguments.wrong_costs,
    )
    try:
        outcome = asyncio.run(tune(job))
    except KeyboardInterrupt:
        print("eval: stopped; the same command goes on from here", file=sys.stderr)
        raise
    report = report_of(outcome)
    print(as_json(report) if arguments.json else markdown(outcome))
    return complain([report])


def points(text: str) -> float:
    """Return a number of points from 0 to 100. Raises: `ArgumentTypeError`."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return number


def ratio(text: str) -> float:
    """Return a number from 0. Raises: `ArgumentTypeError`."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0")
    return number
