"""Bytes to text: byte order marks, strict UTF-8, and the charset that a web page declares."""

from __future__ import annotations

import codecs
import re

from indexes.errors import InvalidText, UnreadableDocument

# UTF-32 first: its little-endian mark starts with that of UTF-16.
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

DECLARED = re.compile(rb"""<(?:meta\s[^>]*?charset|\?xml\s[^>]*?encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
PRESCAN_BYTES = 1024
NUL_SHARE_OF_WIDE_TEXT = 0.25

# What browsers read where a page names the codec on the left; a codec that is not listed counts as
# UTF-8. Source: https://encoding.spec.whatwg.org/#names-and-labels, prescan of 1024 bytes:
# https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding
WEB_CODECS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    **{
        name: name
        for name in (
            *(f"cp{number}" for number in (866, 874, 932, 949, *range(1250, 1259))),
            *(f"iso8859-{part}" for part in (2, 3, 4, 5, 6, 7, 8, 10, 13, 14, 15, 16)),
            *("koi8-r", "koi8-u", "mac-roman", "gb18030", "big5", "euc_jp", "iso2022_jp"),
        )
    },
}


def decode_text(data: bytes) -> str:
    """Return the text of a plain file: by its byte order mark, else as UTF-8; the mark itself goes.

    Raises: `InvalidText` naming the first byte that does not decode, and for UTF-16 without a mark,
    which would pass for UTF-8 full of NULs.
    """
    for mark, encoding in BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return strictly(data, encoding, skip=len(mark))
    head = data[:PRESCAN_BYTES]
    if head.count(0) > NUL_SHARE_OF_WIDE_TEXT * len(head):
        raise InvalidText("the text looks like UTF-16 or binary data without a byte order mark; save it as UTF-8")
    return strictly(data, "utf-8", skip=0)


def decode_page(data: bytes) -> str:
    """Return the text of a web page: by its byte order mark, else by the charset it declares, else as UTF-8.

    Raises: `InvalidText` naming the first byte that does not decode, `UnreadableDocument` for bytes
    that are not text at all.
    """
    if data.startswith(tuple(mark for mark, _ in BYTE_ORDER_MARKS)):
        return decode_text(data)
    at = data.find(0)
    if at >= 0:
        raise UnreadableDocument(f"not an HTML file: byte {at} is NUL, so the content is binary")
    return strictly(data, declared_codec(data), skip=0)


def declared_codec(data: bytes) -> str:
    """Return the codec for the charset that the first kilobyte declares; `utf-8` without one that browsers know."""
    match = DECLARED.search(data, 0, PRESCAN_BYTES)
    if match is None:
        return "utf-8"
    try:
        name = codecs.lookup(match.group(1).decode("ascii", "replace")).name
    except LookupError:
        return "utf-8"
    return WEB_CODECS.get(name, "utf-8")


def strictly(data: bytes, encoding: str, *, skip: int) -> str:
    """Return `data` from byte `skip` on, decoded. Raises: `InvalidText` with the offset in the file."""
    try:
        return data[skip:].decode(encoding)
    except UnicodeDecodeError as error:
        offset = skip + error.start
        raise InvalidText(f"byte {offset} (0x{data[offset]:02x}) is not valid {encoding.upper()}") from error
