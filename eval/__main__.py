"""Measure quality, speed and durability, fit the shipped token projection, run the provider stub.

Example: python -m eval context --data DIR --budgets 400,800
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from eval.errors import EvaluationError
from eval.report import Report, as_json, as_table

if TYPE_CHECKING:
    Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"

FAILURES_SHOWN = 3


def main(argv: Sequence[str]) -> int:
    """Run one command; return its exit code: 0, or 1 with one line on standard error if something failed."""
    if argv[:1] == ["stub"]:
        from eval.stub import main as run_stub

        return run_stub(argv[1:])
    arguments = parser().parse_args(argv)
    from indexes.errors import IndexingError
    from ragopt.errors import RagoptError

    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except (EvaluationError, IndexingError, RagoptError) as error:
        print(f"eval: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line; each subcommand sets `command` to what runs it."""
    root = argparse.ArgumentParser(
        prog="python -m eval", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    add_context(commands)
    add_retrieval(commands)
    add_tune(commands)
    add_bench(commands)
    add_crash(commands)
    add_fit_tokens(commands)
    commands.add_parser("stub", add_help=False, help="run the provider stub: `stub --help`")
    return root


def add_context(commands: Commands) -> None:
    """Add `context`."""
    command = add_command(commands, "context", "recall, precision, IoU and tokens of the packed context")
    command.epilog = "example: python -m eval context --data shared/data/chroma_chunking --budgets 400,800"
    add_sets(command)
    command.add_argument("--budgets", type=budgets, default=None, metavar="N,N", help="default: 200,400,800,1600")
    command.set_defaults(command=run_context)


def add_retrieval(commands: Commands) -> None:
    """Add `retrieval`."""
    command = add_command(commands, "retrieval", "nDCG@10 and recall@20 of BM25, dense, fused and reranked search")
    command.epilog = "example: python -m eval retrieval --data shared/data/scifact --limit 100"
    add_sets(command)
    command.set_defaults(command=run_retrieval)


def add_tune(commands: Commands) -> None:
    """Add `tune`."""
    command = add_command(commands, "tune", "search the knobs on your questions; write knobs.toml for the service")
    command.epilog = "example: python -m eval tune --corpus handbook/ --questions questions.jsonl --out tuning"
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, metavar="DIR", help="a data set with questions")
    source.add_argument("--corpus", type=Path, nargs="+", metavar="PATH", help="your files, folders or JSON lines")
    command.add_argument("--questions", type=Path, metavar="FILE", help="with --corpus; without: derived from it")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="report, plot, trials and knobs.toml")
    command.add_argument("--limit", type=positive, metavar="N", help="at most N questions, drawn at random")
    command.add_argument("--tolerance", type=points, default=2.0, metavar="P", help="points `cost` may lose: 2")
    command.set_defaults(command=run_tune)


def add_bench(commands: Commands) -> None:
    """Add `bench`."""
    command = add_command(commands, "bench", "time ingest, answers and starts on this machine")
    command.epilog = "example: python -m eval bench --only ingest --chunks 500"
    command.add_argument("--data", type=Path, metavar="DIR", help="its corpus and questions; else generated text")
    command.add_argument("--only", type=subjects, metavar="NAME,NAME", help="of ingest, answer, start")
    command.add_argument("--chunks", type=positive, default=3_000, metavar="N", help="least chunks in the index")
    command.set_defaults(command=run_bench)


def add_crash(commands: Commands) -> None:
    """Add `crash`."""
    command = add_command(
        commands, "crash", "kill -9 the service while it ingests, restart it, and count what is wrong"
    )
    command.epilog = "example: python -m eval crash --kills 30 --documents 200"
    command.add_argument("--kills", type=positive, default=30, metavar="N", help="how often")
    command.add_argument("--documents", type=positive, default=200, metavar="N", help="sent in each round")
    command.set_defaults(command=run_crash)


def add_fit_tokens(commands: Commands) -> None:
    """Add `fit-tokens`."""
    command = add_command(commands, "fit-tokens", "fit the token projection that ships, or compare ways to")
    command.epilog = "example: python -m eval fit-tokens --data squad_xquad --data clapnq --out minilm_tokens.npz"
    command.add_argument("--data", type=Path, action="append", required=True, metavar="DIR", help="may be repeated")
    command.add_argument("--texts", type=positive, default=3_500, metavar="N", help="texts to embed")
    target = command.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, metavar="FILE", help="where to write the fit")
    target.add_argument("--compare", type=Path, action="append", metavar="DIR", help="measure ways to squeeze on a set")
    command.set_defaults(command=run_fit_tokens)


def add_command(commands: Commands, name: str, summary: str) -> argparse.ArgumentParser:
    """Return the parser of a new subcommand with the options that all have."""
    command = commands.add_parser(name, help=summary, description=summary)
    command.add_argument("--json", action="store_true", help="one JSON object per set")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="of everything drawn at random")
    return command


def add_sets(command: argparse.ArgumentParser) -> None:
    """Add the options of a subcommand that asks the questions of data folders."""
    command.add_argument("--data", type=Path, action="append", required=True, metavar="DIR", help="may be repeated")
    command.add_argument("--limit", type=positive, metavar="N", help="only the first N questions of a set")


def run_context(arguments: argparse.Namespace) -> int:
    """Measure contexts set by set; return 1 if a context broke the contract."""
    from eval.context import BUDGETS, ContextJob, measure
    from eval.datasets import read_dataset

    job = ContextJob(budgets=arguments.budgets or BUDGETS, limit=arguments.limit, seed=arguments.seed)
    reports = [asyncio.run(measure(read_dataset(folder), job)) for folder in arguments.data]
    return show(reports, as_lines=arguments.json)


def run_retrieval(arguments: argparse.Namespace) -> int:
    """Measure rankings set by set; return 1 if a question failed."""
    from eval.datasets import read_dataset
    from eval.retrieval import RetrievalJob, measure

    job = RetrievalJob(limit=arguments.limit, seed=arguments.seed)
    reports = [asyncio.run(measure(read_dataset(folder), job)) for folder in arguments.data]
    return show(reports, as_lines=arguments.json)


def run_tune(arguments: argparse.Namespace) -> int:
    """Search the knobs and write what was found; return 1 if a question failed."""
    from eval.tune.command import TuneJob, tune
    from eval.tune.questions import Wanted
    from eval.tune.report import markdown, report_of

    if arguments.questions and not arguments.corpus:
        raise EvaluationError("--questions: they belong to a --corpus; a --data folder has its own")
    wanted = Wanted(
        arguments.data, tuple(arguments.corpus or ()), arguments.questions, limit=arguments.limit, seed=arguments.seed
    )
    try:
        outcome = asyncio.run(tune(TuneJob(wanted, arguments.out, tolerance=arguments.tolerance / 100)))
    except KeyboardInterrupt:
        print("eval: stopped; the same command goes on from here", file=sys.stderr)
        raise
    report = report_of(outcome)
    print(as_json(report) if arguments.json else markdown(outcome))
    return complain([report])


def run_bench(arguments: argparse.Namespace) -> int:
    """Time what was asked for."""
    from eval.bench import SUBJECTS, BenchJob, bench

    job = BenchJob(data=arguments.data, only=arguments.only or SUBJECTS, chunks=arguments.chunks, seed=arguments.seed)
    return show(bench(job), as_lines=arguments.json)


def run_crash(arguments: argparse.Namespace) -> int:
    """Kill, restart and look; return 1 if anything was lost, halved, mixed or doubled."""
    from eval.crash import CrashJob, crash

    job = CrashJob(kills=arguments.kills, documents=arguments.documents, seed=arguments.seed)
    return show([crash(job)], as_lines=arguments.json)


def run_fit_tokens(arguments: argparse.Namespace) -> int:
    """Fit and write the projection, or compare ways to fit it."""
    from eval.fit_tokens import FitJob, run

    job = FitJob(tuple(arguments.data), texts=arguments.texts, seed=arguments.seed)
    if arguments.compare:
        from eval.fit_compare import compare

        return show(compare(job, arguments.compare), as_lines=arguments.json)
    return show([run(job, arguments.out)], as_lines=arguments.json)


def show(reports: Sequence[Report], *, as_lines: bool) -> int:
    """Print the reports and, on standard error, what must not happen and did; return 1 if anything did."""
    for report in reports:
        print(as_json(report) if as_lines else as_table(report))
    return complain(reports)


def complain(reports: Sequence[Report]) -> int:
    """Print on standard error what must not happen and did; return 1 if anything did."""
    for report in reports:
        if report.failures:
            examples = "; ".join(report.failures[:FAILURES_SHOWN])
            print(f"eval: {report.set}: {len(report.failures)} failures, for example: {examples}", file=sys.stderr)
    return 1 if any(report.failures for report in reports) else 0


def positive(text: str) -> int:
    """Return a whole number of at least 1. Raises: `ArgumentTypeError`."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def points(text: str) -> float:
    """Return a number of points from 0 to 100. Raises: `ArgumentTypeError`."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 100")
    return number


def budgets(text: str) -> tuple[int, ...]:
    """Return distinct positive numbers, ascending, from `N,N`. Raises: `ArgumentTypeError`."""
    return tuple(sorted({positive(part) for part in text.split(",")}))


def subjects(text: str) -> tuple[str, ...]:
    """Return the subjects of `bench` that are named, in their own order. Raises: `ArgumentTypeError`."""
    known = ("ingest", "answer", "start")
    named = text.split(",")
    for name in named:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
    return tuple(name for name in known if name in named)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
