"""Principals as people write them: `group:hr`, `user:ann`. What may be one, in lists, keys and headers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from urllib.parse import unquote

from indexes.access import Reader
from ragopt.errors import InvalidRequest

PRINCIPAL = re.compile(r"(group|user):\S(.*\S)?")
MAX_PRINCIPAL_CHARS = 256
# On the list of a document, of a key, or of a request.
MAX_PRINCIPALS = 1_000
WHAT_IT_IS = f"a principal is `group:` or `user:` and a name, at most {MAX_PRINCIPAL_CHARS} printable characters"
ACT_AS = "Ragopt-Act-As"


def is_principal(text: str) -> bool:
    """Return whether a text can be a principal; a lone surrogate and what cannot be seen are not printable."""
    return len(text) <= MAX_PRINCIPAL_CHARS and text.isprintable() and PRINCIPAL.fullmatch(text) is not None


def reader_of(principals: Iterable[str], *, field: str) -> Reader:
    """Return the reader of these principals. Raises: `InvalidRequest` naming the field."""
    found = Reader.of(principals)
    if not all(map(is_principal, found.principals)):
        raise InvalidRequest(f"{field}: {WHAT_IT_IS}")
    if len(found.principals) > MAX_PRINCIPALS:
        raise InvalidRequest(f"{field}: at most {MAX_PRINCIPALS} principals")
    return found


def separated(value: str, *, field: str) -> list[str]:
    """Return the principals of a text: percent-encoded, separated by commas; [] for an empty one.

    Raises: `InvalidRequest` naming the field.
    """
    try:
        if not value.isascii():
            raise ValueError(value)
        parts = [unquote(part.strip(), errors="strict") for part in value.split(",")]
    except ValueError as error:
        raise InvalidRequest(f"{field}: percent-encode what is not ASCII, as UTF-8") from error
    return [part for part in parts if part]


def reader_fields(reader: Reader) -> dict[str, object]:
    """Return a reader as JSON can hold it."""
    return asdict(reader)


def reader_from(fields: Mapping[str, object] | None) -> Reader:
    """Return the reader of `reader_fields`; of None, which older versions of ragopt wrote, the one of open documents.

    Whatever is not what was written reads no more than that.
    """
    principals = (fields or {}).get("principals")
    return Reader(
        tuple(map(str, principals)) if isinstance(principals, list | tuple) else (),
        (fields or {}).get("everything") is True,
    )
