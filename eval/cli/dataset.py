"""`dataset`: your documents and questions as a data set that every job reads."""

from __future__ import annotations

import argparse
from pathlib import Path

from eval.cli.arguments import Commands


def add_to(commands: Commands) -> None:
    """Add it."""
    summary = "write your documents and a file of questions as a data set for context, retrieval and gate"
    command = commands.add_parser("dataset", help=summary, description=summary)
    command.epilog = "example: python -m eval dataset --corpus handbook/ --questions questions.jsonl --out handbook-set"
    command.add_argument(
        "--corpus", type=Path, nargs="+", required=True, metavar="PATH", help="files, folders or JSON lines"
    )
    command.add_argument("--questions", type=Path, required=True, metavar="FILE", help="as `tune` reads them")
    command.add_argument("--out", type=Path, required=True, metavar="DIR", help="a new folder; its name is the set's")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the folder; print what is in it."""
    from eval.dataset_files import write_dataset
    from eval.tune.questions import read_corpus, read_questions
    from ragopt.config import load_settings

    documents, notes = read_corpus(arguments.corpus, max_bytes=load_settings().max_document_bytes)
    dataset = read_questions(arguments.questions, name=arguments.out.resolve().name, documents=documents)
    write_dataset(dataset, arguments.out)
    with_spans = f"{len(dataset.references)} with the text that answers them"
    print(f"{arguments.out}: {len(dataset.documents)} documents, {len(dataset.queries)} questions, {with_spans}")
    for note in notes:
        print(note)
    return 0
