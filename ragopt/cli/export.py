"""`ragopt export`: kept answers as training examples of a provider, or as questions to measure with."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from ragopt.audit.events import LOCAL, Actor, AuditEvent
from ragopt.cli.arguments import add_data_dir, add_json
from ragopt.cli.terminal import complain, say, say_json
from ragopt.config import Settings, load_settings
from ragopt.errors import InvalidRequest
from ragopt.exports.choosing import Wanted, chosen, distinct, diverse
from ragopt.exports.writing import BOUNDS, Format, example, lines, question, shown_example, to_label
from ragopt.privacy.recognition import Recognisers
from ragopt.settings.examples import MAX_EXAMPLES
from ragopt.state.feedback import MAX_RATINGS
from ragopt.state.kept import KeptAnswer
from ragopt.state.key_records import DEFAULT_TENANT
from ragopt.wiring.auditing import audit_file
from ragopt.wiring.books import opened_answers
from ragopt.wiring.privacy import opened_recognisers

EXAMPLES = 4
EXAMPLE = "ragopt export finetune --format openai --out train.jsonl --distil"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    every = argparse.ArgumentParser(add_help=False)
    every.add_argument("--out", type=Path, required=True, metavar="FILE", help="JSON lines; replaced if it is there")
    every.add_argument("--tenant", default=DEFAULT_TENANT, metavar="T", help="whose answers (default: default)")
    every.add_argument("--collection", default="", metavar="C", help="of one collection only")
    every.add_argument("--liked", action="store_true", help="only answers that were rated up")
    add_data_dir(every)
    add_json(every)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    tuning = actions.add_parser(
        "finetune", parents=[every], help="examples to train a model on", epilog=f"Example: {EXAMPLE}"
    )
    tuning.add_argument("--format", choices=get_args(Format), required=True, help="whose fine-tuning reads them")
    tuning.add_argument(
        "--distil",
        action="store_true",
        help="only answers of stronger tiers to questions easy enough for simple",
    )
    example_line = "ragopt export questions --liked --out questions.jsonl --to-label disliked.jsonl"
    asking = actions.add_parser(
        "questions", parents=[every], help="questions for `eval tune`", epilog=f"Example: {example_line}"
    )
    example_line = "ragopt export examples --collection support --out examples.jsonl"
    showing = actions.add_parser(
        "examples", parents=[every], help="a few for every prompt to show", epilog=f"Example: {example_line}"
    )
    showing.add_argument("--count", type=int, default=EXAMPLES, metavar="N", help=f"how many (default: {EXAMPLES})")
    asking.add_argument("--to-label", type=Path, metavar="FILE", help="and those rated down, for a person to complete")


def run(arguments: argparse.Namespace) -> int:
    """Write what the action says. Raises: `InvalidRequest`, `ConfigError`, `StateUnavailable`, `OSError`."""
    settings = load_settings(data_dir=arguments.data_dir)
    kept, comments = asyncio.run(read(settings, arguments.tenant))
    if not kept:
        raise InvalidRequest("no answer is kept: `keep_answers` of [[collections]] turns that on; see docs/export.md")
    with opened_recognisers(settings) as recognisers:
        if arguments.action == "finetune":
            count = finetune(kept, arguments, settings, recognisers=recognisers)
        elif arguments.action == "examples":
            count = examples(kept, arguments, recognisers)
        else:
            count = questions(kept, arguments, comments, recognisers=recognisers)
    written_down(settings, arguments, count)
    return 0


async def read(settings: Settings, tenant: str) -> tuple[list[KeptAnswer], dict[str, str]]:
    """Return the tenant's kept answers, oldest first, and what callers said of answers, by their ids."""
    async with opened_answers(settings) as (answers, feedback):
        kept = await answers.all(tenant)
        ratings = await feedback.ratings(tenant, limit=MAX_RATINGS)
    return kept, {rated.answer_id: rated.comment for rated in reversed(ratings) if rated.comment}


def written_down(settings: Settings, arguments: argparse.Namespace, count: int) -> None:
    """Write to the audit log, where there is one, that answers left the service. Raises: `OSError`."""
    file = audit_file(settings)
    if file is not None:
        actor = Actor(LOCAL, arguments.tenant)
        event = AuditEvent("export", actor, collection=arguments.collection, subject=arguments.action, count=count)
        file.append([event])
        file.sync()


def finetune(
    kept: Sequence[KeptAnswer], arguments: argparse.Namespace, settings: Settings, *, recognisers: Recognisers
) -> int:
    """Write training examples and return how many; says what was left out and why."""
    below = settings.routing.medium_from if arguments.distil else None
    found = chosen(kept, Wanted(arguments.collection, liked=arguments.liked, distil_below=below), recognisers)
    bounds = BOUNDS[arguments.format]
    newest = found.answers[-bounds.most :]
    write(arguments.out, [example(one, arguments.format) for one in newest])
    left_out = dict(found.left_out)
    if arguments.json:
        say_json({"file": str(arguments.out), "examples": len(newest), "left_out": left_out})
    else:
        said = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        least = f"; left out: {said}" if said else ""
        say(f"{arguments.out}: {len(newest)} examples of {len(kept)} kept answers{least}")
    if len(newest) < bounds.fewest:
        complain(f"ragopt export: {arguments.format} takes at least {bounds.fewest} examples")
    return len(newest)


def examples(kept: Sequence[KeptAnswer], arguments: argparse.Namespace, recognisers: Recognisers) -> int:
    """Write a few unlike answers that were rated up, and return how many. Raises: `InvalidRequest` if there is none."""
    if not 1 <= arguments.count <= MAX_EXAMPLES:
        raise InvalidRequest(f"--count: 1 to {MAX_EXAMPLES}")
    fit = chosen(kept, Wanted(arguments.collection, liked=True), recognisers).answers
    able = [one for one in fit if shown_example(one) is not None]
    rows = [row for one in diverse(able, arguments.count) if (row := shown_example(one)) is not None]
    if not rows:
        raise InvalidRequest("no kept answer was rated up and is supported: nothing to show; see docs/export.md")
    write(arguments.out, rows)
    if arguments.json:
        say_json({"file": str(arguments.out), "examples": len(rows)})
    else:
        say(f"{arguments.out}: {len(rows)} examples of {len(fit)} answers that were rated up")
    return len(rows)


def questions(
    kept: Sequence[KeptAnswer], arguments: argparse.Namespace, comments: Mapping[str, str], *, recognisers: Recognisers
) -> int:
    """Write questions with what answers them and return how many, and those rated down for a person to complete."""
    mine = [one for one in kept if arguments.collection in ("", one.collection)]
    good = [one for one in mine if one.liked or (one.supported and one.liked is None and not arguments.liked)]
    rows = [row for one in distinct(good[::-1]) if (row := question(one))]
    write(arguments.out, rows)
    disliked = distinct([one for one in reversed(mine) if one.liked is False])
    if arguments.to_label:
        write(arguments.to_label, [to_label(one, comments.get(one.id, ""), recognisers) for one in disliked])
    if arguments.json:
        say_json({"file": str(arguments.out), "questions": len(rows), "rated_down": len(disliked)})
    else:
        say(f"{arguments.out}: {len(rows)} questions of {len(kept)} kept answers; {len(disliked)} were rated down")
    return len(rows)


def write(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write JSON lines that only the user may read, replacing what was there when all is written. Raises: `OSError`."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(lines(rows))
    unfinished.replace(path)
