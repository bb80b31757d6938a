"""Measure quality, speed and durability, fit the shipped token projection, run the provider stub.

Example: python -m eval context --data DIR --budgets 400,800
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from eval.cli import (
    batch,
    cache,
    campaign,
    capacity,
    citations,
    dataset,
    drift,
    faults,
    freshness,
    gate,
    guards,
    memory,
    page,
    prefix,
    prompt,
    quality,
    rerank,
    rewrite,
    routing,
    tune,
)
from eval.cli.arguments import Commands, add_command, positive
from eval.cli.output import show
from eval.errors import EvaluationError

# Of `bench`; its module is imported when it runs.
SUBJECTS = (
    "ingest",
    "answer",
    "start",
    "retrieval",
    "rerank",
    "cache",
    "concurrency",
    "memory",
    "overhead",
    "ttft",
    "state",
    "scale",
)


def main(argv: Sequence[str]) -> int:
    """Run one command; return its exit code: 0, or 1 with one line on standard error if something failed."""
    if argv[:1] == ["stub"]:
        from eval.stub import main as run_stub

        return run_stub(argv[1:])
    arguments = parser().parse_args(argv, argparse.Namespace(line=shlex.join(["python", "-m", "eval", *argv])))
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
    quality.add_to(commands)
    rerank.add_to(commands)
    tune.add_to(commands)
    routing.add_to(commands)
    citations.add_to(commands)
    rewrite.add_to(commands)
    cache.add_to(commands)
    guards.add_to(commands)
    memory.add_to(commands)
    prefix.add_to(commands)
    prompt.add_to(commands)
    drift.add_to(commands)
    add_bench(commands)
    capacity.add_to(commands)
    dataset.add_to(commands)
    add_crash(commands)
    campaign.add_to(commands)
    faults.add_to(commands)
    freshness.add_to(commands)
    batch.add_to(commands)
    add_fit_tokens(commands)
    gate.add_to(commands)
    page.add_to(commands)
    commands.add_parser("stub", add_help=False, help="run the provider stub: `stub --help`")
    return root


def add_bench(commands: Commands) -> None:
    """Add `bench`."""
    command = add_command(commands, "bench", "time ingest, search, reranking, answers and starts on this machine")
    command.epilog = "example: python -m eval bench --only ingest --chunks 500"
    command.add_argument("--data", type=Path, metavar="DIR", help="its corpus and questions; else generated text")
    command.add_argument("--only", type=subjects, metavar="NAME,NAME", help=f"of {', '.join(SUBJECTS)}")
    command.add_argument("--chunks", type=positive, metavar="N", help="in the index; default 3,000, scale 100,000")
    command.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw the growth that `--only scale` measures")
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


def run_bench(arguments: argparse.Namespace) -> int:
    """Time what was asked for."""
    from eval.bench.job import BY_DEFAULT, BenchJob, bench

    job = BenchJob(
        data=arguments.data,
        only=arguments.only or BY_DEFAULT,
        chunks=arguments.chunks,
        plot=arguments.plot,
        seed=arguments.seed,
    )
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


def subjects(text: str) -> tuple[str, ...]:
    """Return the subjects of `bench` that are named, in their own order. Raises: `ArgumentTypeError`."""
    named = text.split(",")
    for name in named:
        if name not in SUBJECTS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SUBJECTS)}")
    return tuple(name for name in SUBJECTS if name in named)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
