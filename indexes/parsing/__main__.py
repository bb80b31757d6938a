"""One file from standard input to a JSON line and UTF-8 text on standard output, under hard limits.

    python -m indexes.parsing .pdf 20000000 < report.pdf | less    # to a pipe: it may write no file

The line is `{"title": …}`, or `{"error": code, "detail": sentence}` with no text after it. The
process limits itself before it reads a byte: a limit set between fork and exec is not safe in a
program with threads, as the service is one.
"""

from __future__ import annotations

import json
import resource
import sys
from importlib import import_module
from typing import Protocol, cast

from indexes.errors import DocumentError, UnreadableDocument
from indexes.parsing.blocks import Parsed

MEMORY_BYTES = 1 << 30
CPU_S = 30
OPEN_FILES = 64
# Keeps the JSON line far below what the other side reads of it.
MAX_TITLE_CHARS = 1_000

# Imported on demand: one file needs one parser, and each takes a tenth of a second.
PARSERS = {
    ".html": "indexes.parsing.webpage",
    ".htm": "indexes.parsing.webpage",
    ".pdf": "indexes.parsing.pdf",
    ".docx": "indexes.parsing.word",
}


class Parser(Protocol):
    """A module of this package that reads one format."""

    def parse(self, data: bytes, *, max_bytes: int) -> Parsed:
        """Return text and title. Raises: `DocumentError`."""
        ...


def main(arguments: list[str]) -> int:
    """Read standard input, write the reply, and return the exit code: 0 for an error that the reply names."""
    limit_resources()
    suffix, max_bytes = arguments
    sys.stdout.buffer.write(reply(suffix, sys.stdin.buffer.read(), max_bytes=int(max_bytes)))
    sys.stdout.buffer.flush()
    return 0


def limit_resources() -> None:
    """Cap memory, CPU time and open files of this process for good, and forbid files and core dumps."""
    lower(resource.RLIMIT_CPU, CPU_S)
    lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    lower(resource.RLIMIT_FSIZE, 0)
    lower(resource.RLIMIT_CORE, 0)
    if sys.platform != "darwin":  # which knows the limit and refuses to set it
        lower(resource.RLIMIT_AS, MEMORY_BYTES)


def lower(limit: int, value: int) -> None:
    """Set a limit to `value`, or to the hard limit where that is lower already."""
    hard = resource.getrlimit(limit)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(limit, (value, value))


def reply(suffix: str, data: bytes, *, max_bytes: int) -> bytes:
    """Return what goes to standard output: the JSON line, then the text as UTF-8. Never raises."""
    try:
        parsed = parse(suffix, data, max_bytes=max_bytes)
        return json.dumps({"title": parsed.title[:MAX_TITLE_CHARS]}).encode() + b"\n" + parsed.text.encode()
    except DocumentError as error:
        return problem(error)
    except MemoryError:
        return problem(UnreadableDocument("reading the file needs more memory than a document may take"))
    except RecursionError:
        return problem(UnreadableDocument("the file nests deeper than a document does"))
    except Exception as error:  # noqa: BLE001 - the edge: parsers raise anything at all on hostile bytes
        kind = type(error).__name__
        return problem(UnreadableDocument(f"the file is damaged: its {suffix} parser stopped with {kind}"))


def problem(error: DocumentError) -> bytes:
    """Return the JSON line of an error."""
    return json.dumps({"error": error.code, "detail": error.detail}).encode() + b"\n"


def parse(suffix: str, data: bytes, *, max_bytes: int) -> Parsed:
    """Return text and title by the parser of `suffix`. Raises: `DocumentError`, and what the parser lets through."""
    parser = cast("Parser", import_module(PARSERS[suffix]))
    return parser.parse(data, max_bytes=max_bytes)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
