"""Answers as JSON: what a schema may hold, whether an answer matches it, and where its strings stand. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import lru_cache

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from referencing import Registry

FENCED = re.compile(r"\A\s*(?:```[a-z]*\s*\n(?P<fenced>.*?)\n\s*```|(?P<bare>.*?))\s*\Z", re.DOTALL)
STRING = re.compile(r'"(?P<body>(?:[^"\\]|\\.)*)"(?P<key>\s*:)?', re.DOTALL)
MAX_ERRORS = 3


def bare(text: str) -> str:
    """Return the text without white space and without the code fence that some models put around JSON."""
    match = FENCED.match(text)
    return text if match is None else match["fenced"] or match["bare"] or ""


def mismatch(text: str, schema: str) -> str | None:
    """Return why a text is no JSON that the schema allows, in a sentence, None if it is."""
    try:
        value = json.loads(text, parse_constant=no_constant)
    except (ValueError, RecursionError) as error:
        return f"it is not JSON: {error}"
    errors: list[ValidationError] = sorted(validator_of(schema).iter_errors(value), key=lambda error: error.json_path)
    return "; ".join(f"{error.json_path}: {error.message[:200]}" for error in errors[:MAX_ERRORS]) or None


def no_constant(name: str) -> object:
    """Refuse NaN and the infinities, which Python reads and JSON does not have. Raises: `ValueError`."""
    raise ValueError(f"{name} is no JSON")


@lru_cache(maxsize=256)
def validator_of(schema: str) -> Draft202012Validator:
    """Return the validator of a schema; references lead nowhere but into it."""
    return Draft202012Validator(json.loads(schema), registry=Registry())


def strings(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the strings of a JSON text stand that are no keys, without their quotation marks, in order."""
    yield from (match.span("body") for match in STRING.finditer(text) if not match["key"])


def unescaped(body: str) -> str:
    """Return what a string's body says; the body itself where it is none."""
    try:
        return str(json.loads(f'"{body}"'))
    except ValueError:
        return body
