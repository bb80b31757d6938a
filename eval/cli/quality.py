"""`context` and `retrieval`: what is found and sent, in one configuration or in two compared."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from eval.cli.arguments import Commands, add_command, add_configurations, add_sets, budgets
from eval.cli.output import Result, line_of, refuse_missing_folder, show, write_text

if TYPE_CHECKING:
    from eval.measuring import Job, Measure

    JobT = TypeVar("JobT", bound=Job)


def add_to(commands: Commands) -> None:
    """Add both."""
    context = add_command(commands, "context", "recall, precision, IoU and tokens of the packed context")
    context.epilog = "example: python -m eval context --data path/to/chroma_chunking --budgets 400,800"
    add_sets(context)
    context.add_argument("--budgets", type=budgets, default=None, metavar="N,N", help="default: 200,400,800,1600")
    context.add_argument("--baseline", action="store_true", help="a vendor's default, 800/400 top 5, beside ours")
    add_configurations(context)
    context.set_defaults(command=run_context)
    retrieval = add_command(commands, "retrieval", "nDCG, MRR and recall of BM25, dense, fused and reranked search")
    retrieval.epilog = "example: python -m eval retrieval --data path/to/scifact --limit 100 --against top_k=50"
    add_sets(retrieval)
    add_configurations(retrieval)
    retrieval.set_defaults(command=run_retrieval)


def run_context(arguments: argparse.Namespace) -> int:
    """Measure contexts set by set; return 1 if a context broke the contract."""
    from eval.configuration import overrides_of
    from eval.context import BUDGETS, ContextJob, measure

    job = ContextJob(
        budgets=arguments.budgets or BUDGETS,
        limit=arguments.limit,
        seed=arguments.seed,
        overrides=overrides_of(arguments.set or ()),
        baseline=arguments.baseline,
    )
    jobs = [job]
    if arguments.against:
        jobs.append(replace(job, overrides=overrides_of(arguments.against)))
    return run(arguments, measure, jobs)


def run_retrieval(arguments: argparse.Namespace) -> int:
    """Measure rankings set by set; return 1 if a question failed."""
    from eval.configuration import overrides_of
    from eval.retrieval import RetrievalJob, measure

    job = RetrievalJob(limit=arguments.limit, seed=arguments.seed, overrides=overrides_of(arguments.set or ()))
    jobs = [job]
    if arguments.against:
        jobs.append(replace(job, overrides=overrides_of(arguments.against)))
    return run(arguments, measure, jobs)


def run(arguments: argparse.Namespace, measure: Measure[JobT], jobs: Sequence[JobT]) -> int:
    """Measure one job, or two and their difference, on every set; print, and save if asked to."""
    from eval.comparison import compare
    from eval.measuring import measured

    if arguments.save:
        refuse_missing_folder(arguments.save)
    results: list[Result] = []
    for folder in arguments.data:
        reports = measured(folder, measure, jobs, command=arguments.line)
        results += reports
        if len(reports) > 1:
            results.append(compare(*reports))
    code = show(results, as_lines=arguments.json)
    if arguments.save:
        write_text(arguments.save, "".join(f"{line_of(result)}\n" for result in results))
    return code
