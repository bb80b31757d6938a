"""Answers as JSON: what a schema may hold, whether an answer matches it, and where its strings stand. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

from ragopt.domain import Span

FENCED = re.compile(r"\A\s*(?:```[a-z]*\s*\n(?P<fenced>.*?)\n\s*```|(?P<bare>.*?))\s*\Z", re.DOTALL)
SCALAR = re.compile(
    r'"(?P<body>(?:[^"\\]|\\.)*)"(?P<key>\s*:)?|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)', re.DOTALL
)
# Where the words of a key such as `phoneNumber` or `date_of_birth` meet.
SEAM = re.compile(r"_+|(?<=[a-z])(?=[A-Z])")
MAX_ERRORS = 3


def bare(text: str) -> str:
    """Return the text without white space and without the code fence that some models put around JSON."""
    match = FENCED.match(text)
    return text if match is None else match["fenced"] or match["bare"] or ""


def mismatch(text: str, schema: str, *, quotes: bool = True) -> str | None:
    """Return why a text is no JSON that the schema allows, in a sentence, None if it is.

    quotes: whether the sentence may repeat what the text holds; else it names the rule that is broken.
    """
    try:
        value = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    errors: list[ValidationError] = sorted(validator_of(schema).iter_errors(value), key=lambda error: error.json_path)
    if not quotes:
        return "; ".join(dict.fromkeys(f"it breaks `{error.validator}`" for error in errors[:MAX_ERRORS])) or None
    return "; ".join(f"{error.json_path}: {error.message[:200]}" for error in errors[:MAX_ERRORS]) or None


def no_constant(name: str) -> object:
    """Refuse NaN and the infinities, which Python reads and JSON does not have. Raises: `ValueError`."""
    raise ValueError(f"{name} is no JSON")


@lru_cache(maxsize=256)
def validator_of(schema: str) -> Draft202012Validator:
    """Return the validator of a schema; references lead nowhere but into it."""
    return Draft202012Validator(json.loads(schema), registry=Registry())


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string or a number of a JSON text. span: where it stands, without quotation marks. label: of the key before it.

    A key is one too, and its own label.
    """

    kind: Literal["key", "string", "number"]
    span: Span
    label: str


def scalars(text: str) -> Iterator[Scalar]:
    """Yield the keys, strings and numbers of a JSON text in order; elements of a list have the label of the list."""
    label = ""
    for match in SCALAR.finditer(text):
        if match["key"]:
            label = f"{SEAM.sub(' ', unescaped(match['body']))}: "
        kind: Literal["key", "string"] = "key" if match["key"] else "string"
        if match["number"]:
            yield Scalar("number", match.span("number"), label)
        else:
            yield Scalar(kind, match.span("body"), label)


def unescaped(body: str) -> str:
    """Return what a string's body says; the body itself where it is none."""
    try:
        return str(json.loads(f'"{body}"'))
    except ValueError:
        return body


def escaped(text: str) -> str:
    """Return the body of a string that says the text."""
    return json.dumps(text, ensure_ascii=False)[1:-1]
