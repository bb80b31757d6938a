"""`gate`: whether anything that was measured before is worse now."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eval.cli.arguments import Commands, assignments
from eval.comparison import comparison_json, comparison_table

if TYPE_CHECKING:
    from eval.gate import Gated


def add_to(commands: Commands) -> None:
    """Add `gate`."""
    summary = "measure again what a file holds; exit 1 if a metric is worse beyond its paired interval"
    command = commands.add_parser("gate", help=summary, description=summary)
    command.epilog = "example: python -m eval gate --baseline results.jsonl"
    command.add_argument("--json", action="store_true", help="one JSON object per job and set")
    command.add_argument(
        "--baseline", type=Path, action="append", required=True, metavar="FILE", help="from --save or --json"
    )
    command.add_argument(
        "--data", type=Path, action="append", metavar="DIR", help="a set that is not where it was; may be repeated"
    )
    command.add_argument(
        "--set",
        type=assignments,
        action="extend",
        metavar="NAME=VALUE[,…]",
        help="settings that replace those in force",
    )
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Measure each job and set of the files again; return 1 if a metric is worse or a question failed."""
    from eval.configuration import overrides_of
    from eval.gate import Present, baselines, gate
    from eval.saved import read_saved

    present = Present(
        folders={folder.resolve().name: folder for folder in arguments.data or ()},
        overrides=overrides_of(arguments.set or ()),
        command=arguments.line,
    )
    results = [gate(saved, present) for saved in baselines(read_saved(arguments.baseline))]
    for result in results:
        print(json_of(result) if arguments.json else comparison_table(result.comparison, names=("now", "baseline")))
        for problem in problems_of(result):
            print(f"eval: {problem}", file=sys.stderr)
    return 0 if all(result.passed() for result in results) else 1


def json_of(result: Gated) -> str:
    """Return the result as one line of JSON: the comparison, `worse` and, where there are any, `failures`."""
    fields = json.loads(comparison_json(result.comparison)) | {"worse": list(result.worse)}
    return json.dumps(fields | ({"failures": list(result.failures)} if result.failures else {}), ensure_ascii=False)


def problems_of(result: Gated) -> list[str]:
    """Return a sentence for what is worse and one for what failed; [] if the gate is passed."""
    where = f"{result.comparison.job.removesuffix('-gate')} on {result.comparison.set}"
    sentences = [f"{where}: worse than the baseline: {', '.join(result.worse)}"] if result.worse else []
    if result.failures:
        sentences.append(f"{where}: {len(result.failures)} failures, for example: {result.failures[0]}")
    return sentences
