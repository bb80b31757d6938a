"""What a server sent, within bounds: its length, its encoding, its type as the suffix of a file."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import AsyncIterator
from pathlib import PurePosixPath

from ragopt.errors import UrlRefused

# Types that a loader reads, and the suffix it reads them by.
SUFFIXES = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "text/plain": ".txt",
    "text/markdown": ".md",
    "text/x-markdown": ".md",
    "application/pdf": ".pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ".docx",
}
TEXTS = frozenset({".html", ".txt", ".md"})
MARKDOWN = frozenset({".md", ".markdown"})
GZIP = 16 + zlib.MAX_WBITS


def suffix_of(content_type: str, path: str) -> str:
    """Return the suffix of a document by what its server calls it; Markdown that is sent as plain text by its path.

    Raises: `UrlRefused` for a type that nothing reads.
    """
    named = content_type.partition(";")[0].strip().lower()
    if named not in SUFFIXES:
        raise UrlRefused(f"it is {named[:80] or 'of no type'!r}; HTML, plain text, Markdown, PDF and DOCX are read")
    return ".md" if named == "text/plain" and PurePosixPath(path.lower()).suffix in MARKDOWN else SUFFIXES[named]


def as_utf8(data: bytes, content_type: str, suffix: str) -> bytes:
    """Return a text as UTF-8 with a byte order mark where its type names another charset; other data as it is."""
    charset = charset_of(content_type)
    if suffix not in TEXTS or charset is None:
        return data
    try:
        return codecs.BOM_UTF8 + data.decode(charset, "replace").encode()
    except UnicodeError:  # a codec of names or of protocols, which knows no replacement
        return data


def charset_of(content_type: str) -> str | None:
    """Return the charset that a type names and Python knows; None for UTF-8 and where there is none."""
    for part in content_type.split(";")[1:]:
        name, _, value = part.partition("=")
        if name.strip().lower() != "charset":
            continue
        try:
            known = codecs.lookup(value.strip().strip("\"'")[:40]).name
            "".encode(known)  # a codec of bytes, such as one that unpacks them, refuses a text
        except (LookupError, ValueError):
            return None
        return None if known == "utf-8" else known
    return None


async def bounded(parts: AsyncIterator[bytes], *, encoding: str, max_bytes: int) -> bytes:
    """Return the whole body, unpacked. It is never unpacked beyond the bound. Raises: `UrlRefused`."""
    packed = encoding.strip().lower()
    if packed not in ("", "identity", "gzip", "x-gzip"):
        raise UrlRefused(f"its content encoding is {packed[:40]!r}; gzip and none are read")
    unpack = zlib.decompressobj(GZIP) if "gzip" in packed else None
    whole = bytearray()
    received = 0
    async for part in parts:
        received += len(part)
        whole += part if unpack is None else unpacked(unpack, part, room=max_bytes + 1 - len(whole))
        if max(received, len(whole)) > max_bytes:
            raise UrlRefused(f"it has more than {max_bytes} bytes")
    if unpack is not None and (not unpack.eof or unpack.unused_data):
        raise UrlRefused("its gzip data is cut off, or has something behind it")
    return bytes(whole)


def unpacked(unpack: zlib._Decompress, part: bytes, *, room: int) -> bytes:
    """Return at most `room` bytes of what a part unpacks to; a whole bomb would be in memory otherwise."""
    try:
        return unpack.decompress(part, room)
    except zlib.error as error:
        raise UrlRefused("its gzip data is damaged") from error
