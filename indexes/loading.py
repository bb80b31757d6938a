"""Files to text. Plain text is read here; HTML, PDF and DOCX in a guarded subprocess."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import indexes
from indexes.errors import (
    DocumentError,
    DocumentTooLarge,
    EmptyText,
    InvalidText,
    UnreadableDocument,
    UnsupportedFormat,
)
from indexes.invisible import is_blank, strip_invisible
from indexes.parsing.charset import decode_text

PLAIN_SUFFIXES = frozenset({".txt", ".md", ".markdown"})
PARSED_SUFFIXES = frozenset({".html", ".htm", ".pdf", ".docx"})
SUPPORTED_SUFFIXES: frozenset[str] = PLAIN_SUFFIXES | PARSED_SUFFIXES
MARKERS = {b"%PDF-": "a PDF", b"PK\x03\x04": "a zip archive, as DOCX is"}

TIMEOUT_S = 45.0
# The JSON line before the text: a title of at most MAX_TITLE_CHARS, escaped, or one sentence.
HEADER_BYTES = 64 * 1024

MAX_TITLE_CHARS = 200
SHORT_LINE_CHARS = 100
TITLE_SEARCH_CHARS = 20_000
HEADING = re.compile(r"^ {0,3}#{1,6}[ \t]+(\S.*)$", re.MULTILINE)
FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
SURROGATE = re.compile("[\ud800-\udfff]")

ERRORS: dict[str, type[DocumentError]] = {
    error.code: error for error in (DocumentTooLarge, EmptyText, InvalidText, UnreadableDocument)
}


@dataclass(frozen=True, slots=True)
class LoadedFile:
    """The text of a file and its title, which is never empty and has one line of at most 200 characters."""

    text: str
    title: str


def load_file(name: str, data: bytes, *, max_bytes: int) -> LoadedFile:
    """Return the text of a file by the suffix of its `name`. Blocks, for seconds where a file is large.

    Plain text comes back as it was sent, line ends included, less a byte order mark. `max_bytes`
    bounds the file, and its text as UTF-8.
    Title: what the file names itself, else its first heading, else a short first line, else its name.

    Raises: `UnsupportedFormat`, `DocumentTooLarge`, `InvalidText` (not the encoding it should be),
    `UnreadableDocument` (not what its suffix says, damaged, encrypted, or too costly to read),
    `EmptyText` (nothing a reader would see).
    """
    path = PurePosixPath(name.replace("\\", "/"))
    suffix = path.suffix.lower()
    if suffix not in SUPPORTED_SUFFIXES:
        shown = repr(suffix[:20]) if suffix else "no suffix"
        raise UnsupportedFormat(f"{shown}: the formats are {' '.join(sorted(SUPPORTED_SUFFIXES))}")
    if len(data) > max_bytes:
        raise DocumentTooLarge(f"the file has {len(data)} bytes; the limit is {max_bytes}")
    if not data:
        raise EmptyText("the file is empty")
    if suffix in PLAIN_SUFFIXES:
        named, text = "", read_plain(data)
    else:
        named, text = read_guarded(suffix, data, max_bytes=max_bytes)
    check_text(text, max_bytes=max_bytes)
    return LoadedFile(
        text, clean_title(named) or clean_title(title_in(text, suffix)) or clean_title(path.stem) or "file"
    )


def check_text(text: str, *, max_bytes: int) -> None:
    """Raise unless `text` can be stored; control characters, NUL included, are allowed.

    Raises: `EmptyText` for white space and invisible characters only, `InvalidText` for a lone
    surrogate, `DocumentTooLarge` over `max_bytes` as UTF-8.
    """
    lone = SURROGATE.search(text)
    if lone is not None:
        raise InvalidText(f"character {lone.start()} is a lone surrogate (U+{ord(lone.group()):04X})")
    # The count of characters first: a text far over the limit is not copied to be measured.
    if len(text) > max_bytes or len(text.encode()) > max_bytes:
        raise DocumentTooLarge(f"the text is over {max_bytes} bytes as UTF-8")
    if is_blank(text):
        raise EmptyText("the text holds nothing but white space and invisible characters")


def content_id(text: str) -> str:
    """Return `sha256:` and 32 hex digits of the text: the id of a document that was sent without one."""
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def read_plain(data: bytes) -> str:
    """Return the text of a plain file. Raises: `InvalidText`, `UnreadableDocument` for a renamed PDF or zip."""
    for marker, what in MARKERS.items():
        if data.startswith(marker):
            raise UnreadableDocument(f"not plain text: the file is {what}")
    return decode_text(data)


def title_in(text: str, suffix: str) -> str:
    """Return the first Markdown heading, else the first line with text if it is short, else "".

    Not the heading in .txt, where `#` may begin a comment; not the line in HTML, where it may be a menu.
    """
    head = text[:TITLE_SEARCH_CHARS]
    found = None if suffix == ".txt" else HEADING.search(FENCED.sub("", head))
    if found is not None:
        title = found.group(1).strip()
        unclosed = title.rstrip("#")
        return unclosed if unclosed.endswith((" ", "\t")) else title
    if suffix in (".html", ".htm"):
        return ""
    line = next((line for line in head.splitlines() if any(map(str.isalnum, line))), "").strip()
    return line.lstrip("#").strip() if len(line) <= SHORT_LINE_CHARS else ""


def clean_title(title: str) -> str:
    """Return a title as one line of visible, valid characters, cut at 200."""
    valid = title.encode("utf-8", "replace").decode()
    return " ".join(strip_invisible(valid).split())[:MAX_TITLE_CHARS].rstrip()


def read_guarded(suffix: str, data: bytes, *, max_bytes: int, timeout_s: float = TIMEOUT_S) -> tuple[str, str]:
    """Return (title, text) of a file, parsed by `python -m indexes.parsing` in a process of its own.

    That process gets no environment and caps its own memory, CPU time and files; it is killed with
    its group when time is up or its output passes `max_bytes`. Raises: `DocumentError`.
    """
    with parser_process(suffix, max_bytes=max_bytes) as process, deadline(process, timeout_s) as expired:
        output = exchange(process, data, limit=max_bytes + HEADER_BYTES)
    if expired.is_set():
        raise UnreadableDocument(f"reading the file took over {timeout_s:.0f} seconds")
    header, newline, body = output.partition(b"\n")
    if len(body) > max_bytes:
        raise DocumentTooLarge(f"the text of the file is over {max_bytes} bytes")
    if not newline or process.returncode != 0:
        raise UnreadableDocument(died_of(process.returncode))
    reply = cast("dict[str, str]", json.loads(header))
    if "error" in reply:
        raise ERRORS.get(reply["error"], UnreadableDocument)(reply["detail"])
    return reply["title"], body.decode()


def parser_process(suffix: str, *, max_bytes: int) -> subprocess.Popen[bytes]:
    """Return a started parser of one file: no user site, no current folder on its path, no bytecode written.

    Raises: `UnreadableDocument` if the system starts no process.
    """
    isolation = ["-s", "-P", "-B", "-X", "utf8", "-W", "ignore"]
    try:
        return subprocess.Popen(  # noqa: S603 - our own interpreter and module; no part comes from the file
            [sys.executable, *isolation, "-m", "indexes.parsing", suffix, str(max_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PYTHONPATH": str(Path(indexes.__file__).parent.parent)},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise UnreadableDocument("the process that would read the file could not be started") from error


@contextmanager
def deadline(process: subprocess.Popen[bytes], seconds: float) -> Iterator[threading.Event]:
    """Kill the process group once `seconds` are over or the block raises; the event tells whether time ran out."""
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        kill_group(process)

    timer = threading.Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    except BaseException:
        kill_group(process)
        raise
    finally:
        timer.cancel()
        timer.join()


def exchange(process: subprocess.Popen[bytes], data: bytes, *, limit: int) -> bytes:
    """Return what the process answers to `data`, and kill it as soon as that is over `limit` bytes.

    It reads all its input before it writes, so one direction after the other cannot lock up.
    """
    stdin, stdout = cast("BinaryIO", process.stdin), cast("BinaryIO", process.stdout)
    with suppress(BrokenPipeError):  # it died early: its exit code says how
        stdin.write(data)
    with suppress(BrokenPipeError):
        stdin.close()
    output = stdout.read(limit + 1)
    if len(output) > limit:
        kill_group(process)
    process.wait()
    return output


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that has not been waited for, with every child it may have started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def died_of(returncode: int) -> str:
    """Return the sentence for a parser process that ended without a reply."""
    if returncode in (-signal.SIGXCPU, -signal.SIGKILL):
        return "reading the file needs more processor time or memory than a document may take"
    return "the parser crashed on the file"
