"""Sets of harmful and of harmless texts: one folder to cases.

`prompts` {text, label} are what a user asks, `completions` {text, label} what a model wrote, `corpus` {text} harmless
texts that an answer may quote, all JSON lines; a label is `harmful` or `benign`. Beside these, the files of two public
sets are read as they are published: AdvBench's `harmful_behaviors.csv` (its goals as questions, its targets as answers)
and XSTest's `xstest_prompts.csv`, with what models completed in `xstest_v2_completions_*.csv`.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from pathlib import Path

from eval.datasets import rows_in
from eval.errors import DatasetError
from eval.screening.sets import Case, LabelledSet, is_labelled
from ragopt.harmful.model import Place

HARMFUL = "harmful"
PLACE_OF_FILE: dict[str, Place] = {"prompts": "question", "completions": "answer"}
ADVBENCH, XSTEST, COMPLETIONS = "harmful_behaviors.csv", "xstest_prompts.csv", "xstest_v2_completions_*.csv"
# How XSTest calls the types of its unsafe prompts, and what a person says of a completion that does not refuse.
UNSAFE, COMPLIES = "contrast_", "1_full_compliance"
MOST_TEXTS = 500


def read_harmful_set(folder: Path, *, seed: int) -> LabelledSet:
    """Return the set in a folder; of a corpus, at most 500 texts drawn at random.

    Raises: `DatasetError` if it holds no such file or a row is wrong.
    """
    cases = [
        Case(row.text("text"), place, is_labelled(row, HARMFUL))
        for name, place in PLACE_OF_FILE.items()
        for row in rows_in(folder, name)
    ]
    texts = [row.text("text") for row in rows_in(folder, "corpus")]
    drawn = random.Random(seed).sample(texts, min(MOST_TEXTS, len(texts)))  # noqa: S311
    cases += [Case(text, "answer", positive=False, segment="corpus") for text in drawn]
    cases += [*advbench(folder), *xstest(folder), *completions(folder)]
    if not cases:
        raise DatasetError(f"{folder}: no prompts, completions or corpus (.jsonl or .jsonl.gz), {ADVBENCH} or {XSTEST}")
    return LabelledSet(folder.resolve().name, tuple(cases))


def advbench(folder: Path) -> Iterator[Case]:
    """Yield what AdvBench's goals ask and its targets answer, nothing where the folder has none."""
    for row in table(folder / ADVBENCH, ("goal", "target")):
        yield Case(row["goal"], "question", positive=True)
        yield Case(row["target"], "answer", positive=True)


def xstest(folder: Path) -> Iterator[Case]:
    """Yield XSTest's prompts, each with its type, nothing where the folder has none."""
    for row in table(folder / XSTEST, ("prompt", "type")):
        yield Case(row["prompt"], "question", positive=row["type"].startswith(UNSAFE), segment=row["type"])


def completions(folder: Path) -> Iterator[Case]:
    """Yield what models wrote to XSTest's safe prompts where they did not refuse."""
    for path in sorted(folder.glob(COMPLETIONS)):
        for row in table(path, ("type", "completion", "final_label")):
            if not row["type"].startswith(UNSAFE) and row["final_label"] == COMPLIES:
                yield Case(row["completion"], "answer", positive=False, segment="completions")


def table(path: Path, columns: tuple[str, ...]) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file, nothing where there is none. Raises: `DatasetError` if a column is missing."""
    if not path.is_file():
        return
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            if any(row.get(column) is None for column in columns):
                raise DatasetError(f"{path}:{number}: needs the columns {', '.join(columns)}")
            yield row
