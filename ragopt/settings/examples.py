"""Examples of good answers that a prompt shows: a file of JSON lines, as `ragopt export examples` writes it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

# Beyond, each costs its tokens and adds no kind of question.
MAX_EXAMPLES = 8
MAX_CHARS = 4_000


class Example(BaseModel):
    """One question, the passages that its answer cites, numbered from 1, and the answer with its markers."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    question: str = Field(min_length=1, max_length=MAX_CHARS)
    passages: tuple[str, ...] = Field(min_length=1, max_length=MAX_EXAMPLES)
    answer: str = Field(min_length=1, max_length=MAX_CHARS)


def read_examples(given: object) -> object:
    """Return the examples of a file, given its path; anything else as it is.

    Raises: `ValueError` naming the file and the line that is wrong.
    """
    if not isinstance(given, str | Path):
        return given
    try:
        lines = Path(given).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{given} cannot be read: {error}") from error
    found = []
    for at, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(Example.model_validate(json.loads(line)))
            except (json.JSONDecodeError, ValidationError) as error:
                raise ValueError(f"{given}, line {at}: no example: {error}") from error
    return tuple(found)


Examples: TypeAlias = Annotated[tuple[Example, ...], BeforeValidator(read_examples), Field(max_length=MAX_EXAMPLES)]
"""Examples, or the path of a file of them; read once, when the settings are."""


def shown(examples: tuple[Example, ...]) -> str:
    """Return the examples as a prompt shows them, "" for none; the same text for the same examples."""
    return "\n\n".join(
        "\n".join(
            [
                f"Question: {item.question}",
                *(f"[{n}] {passage}" for n, passage in enumerate(item.passages, start=1)),
                f"Answer: {item.answer}",
            ]
        )
        for item in examples
    )
