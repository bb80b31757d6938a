"""`rewrite` and `fit-rewrite`: how near follow-ups come to a person's rewrite, and the fit of what rewrites them."""

from __future__ import annotations

import argparse
from pathlib import Path

from eval.cli.arguments import Commands, add_command, add_folders, add_sets
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add both."""
    rewrite = add_command(
        commands, "rewrite", "follow-ups rewritten, beside the last turn alone and a person's rewrite"
    )
    rewrite.epilog = "example: python -m eval rewrite --data path/to/mtrag_rewrite"
    add_sets(rewrite)
    rewrite.add_argument(
        "--fit-with",
        type=Path,
        action="append",
        metavar="DIR",
        help="rewrite by models fitted to DIR and to the set's other conversations; may be repeated",
    )
    rewrite.set_defaults(command=run_rewrite)
    fit = add_command(commands, "fit-rewrite", "fit the follow-up models that ship")
    fit.epilog = "example: python -m eval fit-rewrite --data canard --words squad_xquad --out follow_up.json"
    add_folders(fit)
    fit.add_argument("--words", type=Path, required=True, metavar="DIR", help="its corpus says which words are common")
    fit.add_argument("--out", type=Path, required=True, metavar="FILE", help="where to write the fit")
    fit.set_defaults(command=run_fit)


def run_rewrite(arguments: argparse.Namespace) -> int:
    """Measure set by set."""
    from eval.rewrite.measure import RewriteJob, run

    job = RewriteJob(arguments.limit, seed=arguments.seed, fit_with=tuple(arguments.fit_with or ()))
    return show(run(arguments.data, job), as_lines=arguments.json)


def run_fit(arguments: argparse.Namespace) -> int:
    """Fit and write the models."""
    from eval.rewrite.fit import FitRewriteJob, run

    job = FitRewriteJob(tuple(arguments.data), words=arguments.words, seed=arguments.seed)
    return show([run(job, arguments.out)], as_lines=arguments.json)
