"""What a text says once its disguise is off: look-alike letters, spaced words, digits for letters, encodings.

A detector that reads only what was typed is passed by typing it otherwise; each reading here undoes one way. The
stored text, the prompt and the answer are not touched by any of it.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import html
import re
import unicodedata
from collections.abc import Callable, Iterator
from urllib.parse import unquote

from indexes.invisible import strip_invisible

# Letters of other scripts that are drawn like Latin ones.
# Source: Unicode Technical Standard 39, confusables, the lower-case and capital letters of Cyrillic and Greek.
DRAWN_ALIKE = str.maketrans(
    "аеорсухіјѕԁԛԝһӏАВЕКМНОРСТУХІЈЅԌԚԜҮοανιρτυχΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
    "aeopcyxijsdqwhlABEKMHOPCTYXIJSGQWYoavipτuxABEZHIKMNOPTYX".replace("τ", "t"),
)
MARKED = re.compile(r"([A-Za-z])[\u0300-\u036f]+")
MIXED_WORD = re.compile(r"\w*[A-Za-z]\w*[\u0370-\u052f]\w*|\w*[\u0370-\u052f]\w*[A-Za-z]\w*")
LEET = str.maketrans("013457@$!|", "oieastasil")
LEET_WORD = re.compile(r"(?<![\w.])(?=[\w@$!|]*[A-Za-z])(?=[\w@$!|]*[013457@$])[A-Za-z0-9@$!|]{3,}(?!\w)")
SPACED = re.compile(r"(?<![^\W_])[^\W\d_](?:([ .\-_*·])[^\W\d_])(?:\1[^\W\d_])+(?![^\W_])")
BASE64 = re.compile(r"[A-Za-z0-9+/_-]{16,}={0,2}")
HEX = re.compile(r"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[ ,]?){12,}")
PERCENT = re.compile(r"(?:%[0-9A-Fa-f]{2}.?){4,}")
WORD = re.compile(r"[a-z]+")
# The words that any few lines of English hold: what a decoding of something else seldom shows.
FREQUENT = frozenset(
    """
    the of and to in is you that it for on are as with his they at be this have from or one had by not what all were we
    when your can said there an each which she do how their if will up other about out many then them these so some her
    would make like him into time has look two more write go see no way could my than first been who its now find me
    tell ignore previous instructions system prompt say print show rules reveal
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)
LEAST_FREQUENT = 3
# Longer words are checksums; a single one is a name.
LONGEST_LEET, LEAST_LEET = 20, 2
LONGEST_DECODED = 4_000


def readings(text: str) -> tuple[str, ...]:
    """Return the text as it is meant to be read, first without tricks of writing, then each decoding that makes sense.

    Distinct, none empty; () for a text of nothing visible.
    """
    seen = plain(text)
    found = [seen, *(reading for undo in UNDONE for reading in undo(seen) if reading.strip())]
    return tuple(dict.fromkeys(reading for reading in found if reading.strip()))


def plain(text: str) -> str:
    """Return the text without invisible characters and marks over letters, look-alike letters as Latin ones."""
    if text.isascii():
        return html.unescape(text) if "&" in text else text
    folded = unicodedata.normalize("NFKC", without_marks(strip_invisible(text)))
    return html.unescape(MIXED_WORD.sub(lambda word: word.group().translate(DRAWN_ALIKE), folded))


def without_marks(text: str) -> str:
    """Return the text without marks typed behind a Latin letter, as in zalgo writing; composed letters stay."""
    return MARKED.sub(r"\1", text)


def joined(text: str) -> Iterator[str]:
    """Yield the text with words closed that were written letter by letter, where there are any."""
    closed = SPACED.sub(lambda run: run.group().replace(run.group(1), ""), text)
    if closed != text:
        yield re.sub(r"\s{2,}", " ", closed)


def unleet(text: str) -> Iterator[str]:
    """Yield the text with digits and signs as the letters they stand for, where two words have them."""
    if len([word for word in LEET_WORD.findall(text) if len(word) <= LONGEST_LEET]) >= LEAST_LEET:
        yield LEET_WORD.sub(lambda word: word.group().translate(LEET), text)


def from_base64(text: str) -> Iterator[str]:
    """Yield what each base64 run of the text decodes to, where that is text."""
    for run in BASE64.findall(text):
        bare = run.rstrip("=").replace("-", "+").replace("_", "/")
        try:
            decoded = base64.b64decode(bare + "=" * (-len(bare) % 4), validate=True)
        except (binascii.Error, ValueError):
            continue
        yield from as_text(decoded)


def from_hex(text: str) -> Iterator[str]:
    """Yield what each run of hexadecimal bytes decodes to, where that is text."""
    for run in HEX.findall(text):
        digits = re.sub(r"\\x|0x|[ ,]", "", run)
        if len(digits) % 2 == 0:
            yield from as_text(bytes.fromhex(digits))


def from_percent(text: str) -> Iterator[str]:
    """Yield the text with percent escapes read, where it has several."""
    if PERCENT.search(text):
        yield unquote(text, errors="ignore")


def reversed_text(text: str) -> Iterator[str]:
    """Yield the text read from its end, and its words in the other order, where that is more like English."""
    turned = text[::-1]
    if reads_better(turned, text):
        yield turned


def rotated(text: str) -> Iterator[str]:
    """Yield the text with its letters turned by thirteen, where that is more like English."""
    turned = codecs.encode(text[:LONGEST_DECODED], "rot13")
    if reads_better(turned, text):
        yield turned


def reads_better(decoded: str, text: str) -> bool:
    """Return whether a decoding has several common words of English, and half of those of what was typed or more.

    English read backwards has next to none, and an introduction before the disguise has some.
    """
    after = frequent(decoded)
    return after >= LEAST_FREQUENT and 2 * after >= frequent(text)


def frequent(text: str) -> int:
    """Return how many of the text's words are common ones, each counted once, one-letter words left out."""
    return len({word for word in WORD.findall(text[:LONGEST_DECODED].lower()) if len(word) > 1} & FREQUENT)


def as_text(decoded: bytes) -> Iterator[str]:
    """Yield the bytes as text if they are: UTF-8, printable, mostly letters and spaces."""
    try:
        found = decoded[:LONGEST_DECODED].decode("utf-8")
    except UnicodeDecodeError:
        return
    letters = sum(char.isalpha() or char.isspace() for char in found)
    if found and letters >= 0.8 * len(found) and all(char.isprintable() or char.isspace() for char in found):
        yield found


UNDONE: tuple[Callable[[str], Iterator[str]], ...] = (
    joined,
    unleet,
    from_base64,
    from_hex,
    from_percent,
    reversed_text,
    rotated,
)
