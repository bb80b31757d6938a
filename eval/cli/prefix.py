"""`prefix`: what providers read from their caches."""

from __future__ import annotations

import argparse

from eval.cli.arguments import Commands, add_command, add_folders, positive
from eval.cli.output import show


def add_to(commands: Commands) -> None:
    """Add it."""
    prefix = add_command(commands, "prefix", "replay conversations against the documented prompt caches of providers")
    prefix.epilog = "example: python -m eval prefix --data path/to/mtrag_rewrite --model anthropic/claude-haiku-4-5"
    add_folders(prefix)
    prefix.add_argument("--limit", type=positive, metavar="N", help="only the first N conversations of a set")
    prefix.add_argument(
        "--model",
        type=dialect_and_model,
        action="append",
        metavar="DIALECT/MODEL",
        help="openai/… or anthropic/…; may be repeated; default: one of each",
    )
    prefix.set_defaults(command=run_prefix)


def dialect_and_model(text: str) -> tuple[str, str]:
    """Return both from `dialect/model`. Raises: `ArgumentTypeError`."""
    dialect, _, model = text.partition("/")
    if dialect not in ("openai", "anthropic") or not model:
        raise argparse.ArgumentTypeError(f"{text!r} is not openai/MODEL or anthropic/MODEL")
    return dialect, model


def run_prefix(arguments: argparse.Namespace) -> int:
    """Replay set by set; return 1 if caching costs more than it saves, or a beginning changed unexplained."""
    from eval.prefix.measure import MODELS, PrefixJob, measure

    job = PrefixJob(arguments.limit, seed=arguments.seed, models=tuple(arguments.model or MODELS))
    return show([measure(folder, job) for folder in arguments.data], as_lines=arguments.json)
