"""Telephone numbers: by an unmistakable form, or by any form of digits beside a word that announces one."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ragopt.domain import Span

# Digits in groups, as people write them; what surrounds it must not make it part of a longer token.
CANDIDATE = re.compile(
    r"(?<![\w/$€£#@=+-])(?<!\d[,:])(?<!\w\.)"
    r"(?:(?:\+|00)\d{1,3}[ .\-/]{0,2})?(?:\(\d{1,5}\)[ .\-/]{0,2})?\d{1,12}(?:[ .\-/]{1,2}\(?\d{1,8}\)?){0,7}"
    r"(?:[ ,]{0,2}(?:x|ext\.?|extension)[ .]?\d{1,6})?"
    r"(?![\w@%€$£]|[.,:/-]\d)",
    re.IGNORECASE,
)
EXTENSION = re.compile(r"[ ,]*(?:x|ext\.?|extension)[ .]?\d{1,6}$", re.IGNORECASE)
DIGITS = re.compile(r"\d+")
SHORTEST, LONGEST = 6, 15
# Source: ITU-T E.164: at most 15 digits; a country code and at least 4 digits behind it.
INTERNATIONAL = re.compile(r"(?:\+|00(?=[1-9]))")
# Source: North American Numbering Plan. A leading 1, 001 or +1 may stand before area, exchange and number.
NORTH_AMERICAN = re.compile(r"(?:(?:\+?1|001)[ .\-]?)?(?:\(\d{3}\) ?|\d{3}[ .\-])\d{3}[ .\-]\d{4}")
# A trunk zero and nine to eleven digits in groups: most of Europe and Asia.
TRUNK = re.compile(r"\(?0[1-9]\d{0,4}\)?(?:[ .\-/]{1,2}\d{2,8}){1,5}")
AREA_IN_BRACKETS = re.compile(r"\(\d{2,5}\) ?\d{2,4}[ .\-]\d{2,5}(?:[ .\-]\d{2,5})?")
DATE = re.compile(
    r"(?:1[5-9]|20)\d{2}([.\-/ ])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?: \d{1,2})?|"
    r"(?:0?[1-9]|[12]\d|3[01])([.\-/ ])(?:0?[1-9]|[12]\d|3[01])\2(?:1[5-9]|20)\d{2}(?: \d{1,2})?"
)
YEARS = re.compile(r"(?:1\d|20)\d{2}\s?[-/]\s?(?:(?:1\d|20)\d{2}|\d{2})")
DECIMALS = re.compile(r"(?:\d+\.\d+)(?:[ \-/(]+\d+\.\d+)?|\d+ \d+\.\d+|\d+\.\d+ \d+")
GROUPED_THOUSANDS = re.compile(r"[1-9]\d{0,2}(?:[ .]\d{3})+")
ANNOUNCED_BEFORE = re.compile(
    r"\b(?:(?:tele)?(?:phones?|fon|fone|fono|fax|fx)|tel|t[ée]l[ée]?fon\w*|mob(?:ile|il)?|cell(?:ular)?|handy|"
    r"whats ?app|sms|text(?:ed)?|call(?:s|ed|ing)?|dial(?:l?ed)?|ring|reach(?:ed)?|answer(?:s|ed|ing)? (?:at|on)|"
    r"hotline|helpline|contact|registered|messages?|ext|ph|"
    r"(?:my|his|her|your|their|our|new|home|work) (?:phone |cell )?number|number is)\b|"
    r"\b(?:desk|office|home|work|direct)\W{0,3}$",
    re.IGNORECASE,
)
ANNOUNCED_AFTER = re.compile(
    r"\W{0,3}(?:\(?(?:phone|tel|mobile|mob|cell|fax|office|desk|home|work|direct|whats ?app|t|m|f)\)?)\b(?! \w+ \w+)",
    re.IGNORECASE,
)
# What also has a number, and is none to call.
OTHERWISE_NUMBERED = re.compile(
    r"\b(?:order|invoice|ticket|case|ref(?:erence)?|account|card|iban|isbn|issn|id|serial|version|section|page|zip|code|"
    r"vat|tax|policy|licen[cs]e|passport|ssn|room|suite|apt|box|part|model|tracking|article|item|bank|routing)\b[^.;\n]{0,16}$",
    re.IGNORECASE,
)
NEAR_CHARS = 32


def phone_spans(text: str) -> Iterator[Span]:
    """Yield the spans of the telephone numbers of a text, extensions included, ascending and disjoint."""
    for match in CANDIDATE.finditer(text):
        start, end = match.span()
        number = EXTENSION.sub("", match.group()).strip()
        digits = "".join(DIGITS.findall(number))
        if not SHORTEST <= len(digits) <= LONGEST or is_other_notation(number):
            continue
        if is_unmistakable(number, digits) or is_announced(text, start, end=end, number=number):
            yield start, start + len(match.group().rstrip())


def is_other_notation(number: str) -> bool:
    """Return whether the digits are a date, a span of years, or figures of a calculation."""
    if number.count("(") != number.count(")"):
        return True
    return any(pattern.fullmatch(number) for pattern in (DATE, YEARS, DECIMALS))


def is_unmistakable(number: str, digits: str) -> bool:
    """Return whether the form alone says that it is a telephone number."""
    if INTERNATIONAL.match(number):
        return len(digits) >= 8 and (number.startswith("+") or not number.isdigit())
    if NORTH_AMERICAN.fullmatch(number):
        return digits[-10] in "23456789"
    if AREA_IN_BRACKETS.fullmatch(number):
        return len(digits) >= 7
    return TRUNK.fullmatch(number) is not None and 9 <= len(digits) <= 11


def is_announced(text: str, start: int, *, end: int, number: str) -> bool:
    """Return whether a word beside the digits calls them a telephone number, and none calls them otherwise."""
    before = text[max(0, start - NEAR_CHARS) : start].rpartition("\n")[2]
    if GROUPED_THOUSANDS.fullmatch(number) and len(number) < 9:
        return False
    if ANNOUNCED_AFTER.match(text, end):
        return True
    return ANNOUNCED_BEFORE.search(before) is not None and OTHERWISE_NUMBERED.search(before) is None
