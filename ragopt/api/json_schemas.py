"""Which JSON schemas a request may ask an answer to match."""

from __future__ import annotations

import json
from collections.abc import Iterator

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

MAX_SCHEMA_CHARS = 16_384
MAX_DEPTH = 32
# A regular expression of the caller's could keep the whole service busy, and a reference may lead outside.
REFUSED = frozenset({"pattern", "patternProperties", "$dynamicRef", "$recursiveRef"})


def wrong_schema(schema: dict[str, object]) -> str | None:
    """Return why answers cannot be held to a schema, in a sentence; None if they can.

    It must be a schema of draft 2020-12, at most 16,384 characters, without regular expressions, and refer to nothing
    outside itself.
    """
    try:
        if len(json.dumps(schema, ensure_ascii=False)) > MAX_SCHEMA_CHARS:
            return f"The schema is over {MAX_SCHEMA_CHARS} characters"
        for name, value in keywords(schema, depth=0):
            if name in REFUSED:
                return f"The schema uses {name}, which is not checked here"
            if name == "$ref" and not str(value).startswith("#"):
                return f"The schema refers to {value!r}, which is outside it"
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"It is no JSON schema: {error.json_path}: {error.message[:200]}"
    except RecursionError:
        return f"The schema nests more than {MAX_DEPTH} deep"
    return None


def keywords(value: object, *, depth: int) -> Iterator[tuple[str, object]]:
    """Yield every key of an object with its value, at any depth. Raises: `RecursionError` beyond 32 levels."""
    if depth > MAX_DEPTH:
        raise RecursionError
    if isinstance(value, dict):
        for name, item in value.items():
            yield name, item
            yield from keywords(item, depth=depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from keywords(item, depth=depth + 1)
