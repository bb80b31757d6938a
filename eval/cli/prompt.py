"""`prompt`: what of a prompt is paid for without influence."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from eval.cli.arguments import Commands, add_command, add_sets, assignments
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add it."""
    prompt = add_command(commands, "prompt", "what each part of a prompt costs, what of it is used, and what to trim")
    prompt.epilog = "example: python -m eval prompt --data path/to/clapnq --limit 100"
    add_sets(prompt)
    prompt.add_argument("--model", default="extractive", metavar="NAME", help="a configured model that answers")
    prompt.add_argument("--collection", default="", metavar="NAME", help="whose `[[collections]]` stand in each prompt")
    prompt.add_argument("--instructions", type=Path, metavar="FILE", help="what the application adds to the rules")
    prompt.add_argument(
        "--set",
        type=assignments,
        action="extend",
        metavar="NAME=VALUE[,…]",
        help="settings that replace those in force",
    )
    prompt.set_defaults(command=run_prompt)


def run_prompt(arguments: argparse.Namespace) -> int:
    """Audit set by set, and print what to trim."""
    from eval.configuration import overrides_of
    from eval.errors import ConfigurationError
    from eval.prompt_audit import PromptJob, measure

    try:
        text = arguments.instructions.read_text(encoding="utf-8").strip() if arguments.instructions else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{arguments.instructions}: {error}") from error
    job = PromptJob(
        arguments.limit,
        seed=arguments.seed,
        overrides=overrides_of(arguments.set or ()),
        model=arguments.model,
        instructions=text,
        collection=arguments.collection,
    )
    audits = [asyncio.run(measure(folder, job)) for folder in arguments.data]
    code = show([audit.report for audit in audits], as_lines=arguments.json)
    for audit in [] if arguments.json else audits:
        print(f"to trim, {audit.report.set}:", *(audit.proposals or ["nothing was seen to be in vain"]), sep="\n  ")
    return code
