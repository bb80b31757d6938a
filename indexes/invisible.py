"""Characters that a reader does not see: what is dropped from the indexed copy, prompts and output.

The set is Unicode's Default_Ignorable_Code_Point (zero-width characters, bidi controls, the tag
block, variation selectors, fillers, the soft hyphen and the byte order mark) and the interlinear
annotation marks. Of category Cf only what is drawn stays: the Arabic, Syriac and Kaithi number
signs, and the joiners that shape hieroglyphs.
Source: https://www.unicode.org/Public/16.0.0/ucd/DerivedCoreProperties.txt
"""

from __future__ import annotations

import re

INVISIBLE_RANGES = (
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors and vowel separator
    (0x200B, 0x200F),  # zero-width space, joiners, direction marks
    (0x202A, 0x202E),  # bidi embeddings and overrides
    (0x2060, 0x206F),  # word joiner, invisible operators, bidi isolates
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors 1 to 16
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xFFF0, 0xFFFB),  # reserved, interlinear annotation
    (0x1BCA0, 0x1BCA3),  # shorthand format controls
    (0x1D173, 0x1D17A),  # musical format controls
    (0xE0000, 0xE0FFF),  # tags, variation selectors 17 to 256
)

INVISIBLE = re.compile("[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in INVISIBLE_RANGES) + "]+")

JOINERS = "\u200c\u200d\ufe0e\ufe0f"
# A character beyond Latin, then a variation selector, a joiner with such a character behind it, or both.
BEYOND_LATIN = r"[^\x00-\u024f\u200b-\u206f\ufe00-\ufe0f]"
SHAPING = re.compile(
    f"{BEYOND_LATIN}(?:\ufe0e|\ufe0f)?(?:[\u200c\u200d](?={BEYOND_LATIN})|(?<=[\ufe0e\ufe0f]))(?![\u200b-\u206f\ufe00-\ufe0f])"
)


def strip_invisible(text: str) -> str:
    """Return `text` without its invisible characters; white space, letters and drawn marks stay.

    Joiners go too: an index must find a word however it was typed.
    """
    return text if text.isascii() else INVISIBLE.sub("", text)


def strip_hidden(text: str, *, before: str = "") -> str:
    """Return `text` without invisible characters that can hide something, for prompts and for output.

    What shapes visible writing stays: one joiner between two characters beyond Latin, as Persian,
    Indic and emoji need, and one variation selector behind such a character. before: the character
    that the text follows, "" at a beginning.
    """
    if text.isascii():
        return text
    whole = before + text
    return INVISIBLE.sub(lambda run: run.group() if SHAPING.match(whole, max(run.start() - 1, 0)) else "", whole)[
        len(before) :
    ]


def is_blank(text: str) -> bool:
    """Return whether `text` holds nothing but white space and invisible characters."""
    return not strip_invisible(text).strip()
