"""What two texts must agree on to say the same: numbers with their units, dates, names and negations. Pure.

English, by rules and lists, no model: the same text always gives the same slots.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from itertools import accumulate, chain, pairwise
from types import MappingProxyType
from typing import Literal, TypeAlias

from ragopt.evidence import STOP_WORDS, singular
from ragopt.remembering import remembered

Kind: TypeAlias = Literal["number", "date", "name", "negation"]

SCALES: Mapping[str, int] = MappingProxyType(
    {"hundred": 100, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
    | {"bn": 10**9, "mn": 10**6}
)
SMALL_NUMBERS = """
two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty
"""
NUMBER_WORDS: Mapping[str, int | Decimal] = MappingProxyType(
    {word: value for value, word in enumerate(SMALL_NUMBERS.split(), start=2)}
    | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90}
    | {"half": Decimal("0.5"), "twice": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "tenth": 10}
)
# Every spelling of a unit to its dimension and how many of the dimension's own unit it is.
UNITS = MappingProxyType(
    {
        spelling: (dimension, Decimal(factor))
        for dimension, spellings in {
            "%": {"%": "1", "percent": "1", "per cent": "1", "percentage points": "1"},
            "usd": {"$": "1", "us$": "1", "usd": "1", "dollar": "1", "cent": "0.01"},
            "eur": {"€": "1", "eur": "1", "euro": "1"},
            "gbp": {"£": "1", "gbp": "1"},
            "m": {"m": "1", "metre": "1", "meter": "1", "km": "1000", "kilometre": "1000", "kilometer": "1000"}
            | {"cm": "0.01", "centimetre": "0.01", "centimeter": "0.01", "mm": "0.001", "millimetre": "0.001"}
            | {"millimeter": "0.001"},
            "ft": {"ft": "1", "foot": "1", "feet": "1", "inch": "0.08333", "mile": "5280", "mi": "5280"},
            "g": {"g": "1", "gram": "1", "kg": "1000", "kilogram": "1000", "mg": "0.001", "tonne": "1000000"},
            "lb": {"lb": "1", "pound": "1"},
            "s": {"second": "1", "sec": "1", "s": "1", "ms": "0.001", "minute": "60", "min": "60", "hour": "3600"}
            | {"hr": "3600", "h": "3600", "day": "86400", "week": "604800"},
            "month": {"month": "1", "year": "12", "decade": "120", "century": "1200"},
            "b": {"kb": "1e3", "mb": "1e6", "gb": "1e9", "tb": "1e12"},
            "°c": {"°c": "1", "celsius": "1"},
            "°f": {"°f": "1", "fahrenheit": "1"},
        }.items()
        for spelling, factor in spellings.items()
    }
)
MONTH_NAMES = """
january february march april may june july august september october november december
"""
MONTHS = MappingProxyType({name[:3]: number for number, name in enumerate(MONTH_NAMES.split(), start=1)})
NEGATIONS = frozenset(
    """
    no not never neither nor none nobody nothing nowhere without cannot unable fail failed lack
    """.split()  # noqa: SIM905 - a list of quoted words reads worse
)

_DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?"
_MONTH += r"|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b(?:\.(?=,?\s?\d))?"
_UNIT = "|".join(sorted((re.escape(unit) for unit in UNITS), key=len, reverse=True))
NUMBER = re.compile(
    # Not the 19 of COVID-19, not the 4 of OCT3/4, and not the second half of a decimal.
    r"(?<![\w.])(?<![A-Za-z]-)(?<![\w)][/+])(?P<currency>us\$|[$€£])?\s?"
    rf"(?:(?P<digits>{_DIGITS})(?P<ordinal>st|nd|rd|th|s)?|(?P<word>{'|'.join(NUMBER_WORDS)}))(?![\w])"
    rf"(?:[\s-](?P<scale>{'|'.join(SCALES)})\b)?(?:[\s-]?(?P<unit>{_UNIT})s?(?!\w))?",
    re.IGNORECASE,
)
GLUED = re.compile(
    rf"(?<![\w.])(?<![A-Za-z]-)(?P<currency>us\$|[$€£])?(?P<digits>{_DIGITS})(?P<unit>[a-zA-Z°]{{1,3}})(?!\w)",
    re.IGNORECASE,
)
# Only written against their number: "5 m" is five metres.
GLUED_SCALES = MappingProxyType({**SCALES, "k": 1_000, "m": 10**6, "b": 10**9})
DATES = (
    re.compile(rf"(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH}(?:,?\s+(?P<year>\d{{4}})\b)?", re.IGNORECASE),
    re.compile(
        rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?!\d)(?:\s?,?\s+(?P<year>\d{{4}})\b)?", re.IGNORECASE
    ),
    re.compile(rf"\b{_MONTH},?\s+(?:of\s+)?(?P<year>\d{{4}})\b", re.IGNORECASE),
    re.compile(r"\b(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})\b"),
    re.compile(rf"\b(?<=in )(?-i:(?=[A-Z])){_MONTH}", re.IGNORECASE),
)
TOKEN = re.compile(r"[^\W_]+(?:[.'’&-][^\W_]+)*")
NOT = re.compile(r"n['’]t\b", re.IGNORECASE)
# What stands right before a word that opens a sentence: an end, then white space and marks that open as well.
SENTENCE_START = re.compile(r"(?:^|[.!?:;•]\s|\n)[\s\"'“‘(*_-]*$")
LONGEST_START = 12
# What is known of so many words is kept: nearly all of a text's are among the latest.
WORDS_KEPT = 16_384


@dataclass(frozen=True, slots=True)
class Slot:
    """One number, date, name or negation of a text, at [start, end) in code points.

    value: a number in the unit as written; year-month-day with `?` for what is not said; words of a name in lower
    case, without accents. unit: the dimension, "" for none. base: a number in its dimension's own unit.
    """

    kind: Kind
    value: str
    start: int
    end: int
    unit: str = ""
    base: str = ""


@remembered
def slots_of(text: str) -> tuple[Slot, ...]:
    """Return the slots of a text: dates, then numbers, names and negations, each kind in the order of the text."""
    amounts = amounts_of(text)
    names = _outside(amounts, _names(text))
    return (*amounts, *names, *_negations(text))


@remembered
def amounts_of(text: str) -> tuple[Slot, ...]:
    """Return the dates and the numbers among the slots of a text, and read nothing else."""
    dates = list(_dates(text))
    return (*dates, *_outside(dates, _numbers(text)))


def missing(claimed: Iterable[Slot], text: str) -> tuple[Slot, ...]:
    """Return the numbers, dates and names that are claimed and do not stand in a text; negations: see `is_negated`."""
    return tuple(slot for slot in claimed if slot.kind != "negation" and not _is_known(slot, text))


def is_negated(slots: Iterable[Slot]) -> bool:
    """Return whether an odd number of negations stands among the slots."""
    return sum(slot.kind == "negation" for slot in slots) % 2 == 1


def _is_known(slot: Slot, text: str) -> bool:
    if slot.kind == "name":
        return _name_words(text).issuperset(slot.value.split())
    known = amounts_of(text)
    if slot.kind == "date":
        return any(_same_date(slot.value, other.value) for other in known if other.kind == "date")
    years = (other.value.split("-")[0] for other in known if other.kind == "date")
    return slot.value in years or any(_same_number(slot, other) for other in known if other.kind == "number")


def _same_number(one: Slot, other: Slot) -> bool:
    """Return whether two numbers are equal: in one dimension, or as written where one has no unit."""
    if one.unit and other.unit:
        return one.unit == other.unit and one.base == other.base
    return one.value == other.value


def _same_date(one: str, other: str) -> bool:
    """Return whether no part that both dates have differs, and they share their month or their year."""
    pairs = list(zip(one.split("-"), other.split("-"), strict=True))
    both = [pair for pair in pairs if "?" not in pair]
    return bool(both) and all(left == right for left, right in both)


def _dates(text: str) -> Iterator[Slot]:
    taken: list[Slot] = []
    for pattern in DATES:
        for match in pattern.finditer(text):
            parts = match.groupdict()
            month = parts["month"].lower()
            number = int(month) if month.isdecimal() else MONTHS[month[:3]]
            value = f"{parts.get('year') or '?'}-{number}-{int(parts['day']) if parts.get('day') else '?'}"
            slot = Slot("date", value, match.start(), match.end())
            if not _within(slot, taken):
                taken.append(slot)
    yield from sorted(taken, key=lambda slot: slot.start)


def _numbers(text: str) -> Iterator[Slot]:
    ends = 0
    glued = [match for match in GLUED.finditer(text) if match["unit"].lower() in {*UNITS, *GLUED_SCALES}]
    for match in sorted([*NUMBER.finditer(text), *glued], key=lambda found: (found.start(), -found.end())):
        if match.start() >= ends:
            ends = match.end()
            start = match.start() + len(match.group()) - len(match.group().lstrip())
            yield _number(match.groupdict(), start=start, end=ends)


def _number(parts: dict[str, str | None], *, start: int, end: int) -> Slot:
    """Return the slot of a match; an ordinal has no unit: the 20th century is no amount of time."""
    digits, word, currency = parts["digits"], parts.get("word") or "", parts.get("currency")
    unit, scale = (parts["unit"] or "").lower(), (parts.get("scale") or "").lower()
    if unit in GLUED_SCALES and (currency or unit not in UNITS):
        unit, scale = "", unit
    value = Decimal(digits.replace(",", "")) if digits else Decimal(NUMBER_WORDS[word.lower()])
    value *= GLUED_SCALES.get(scale, 1)
    named = (currency or unit).lower()
    dimension, factor = ("", Decimal(1)) if parts.get("ordinal") else UNITS.get(named, ("", Decimal(1)))
    return Slot("number", _plain(value), start, end, unit=dimension, base=_plain(value * factor))


def _plain(value: Decimal) -> str:
    """Return a number without an exponent and without zeros that say nothing."""
    return format(value.normalize(), "f")


def _names(text: str) -> Iterator[Slot]:
    """Yield runs of capitalised words and words with a digit or capital inside, not a sentence's plain first word."""
    run: list[re.Match[str]] = []
    for match, after in pairwise([*TOKEN.finditer(text), None]):
        assert match is not None  # noqa: S101 - only the last of the list is None, and it is never the left of a pair
        if not _word(match.group()).named:
            continue
        run.append(match)
        joined = after is not None and text[match.end() : after.start()] == " " and _word(after.group()).named
        if not joined or match.group().endswith(("'s", "’s")):
            yield from _name(text, run)
            run = []


def _name(text: str, run: list[re.Match[str]]) -> Iterator[Slot]:
    first = run[0]
    plain = first.group()[1:].islower() or len(first.group()) == 1
    if plain and SENTENCE_START.search(text[max(0, first.start() - LONGEST_START) : first.start()]):
        run = run[1:] if len(run) == 1 or first.group().lower() in STOP_WORDS else run
    if run:
        value = " ".join(word for match in run for word in _word(match.group()).folded)
        yield Slot("name", value, run[0].start(), run[-1].end())


def _negations(text: str) -> Iterator[Slot]:
    for match in TOKEN.finditer(text):
        if _word(match.group()).denies:
            yield Slot("negation", "not", match.start(), match.end())


@remembered
def _name_words(text: str) -> frozenset[str]:
    return frozenset(chain.from_iterable(_word(match.group()).folded for match in TOKEN.finditer(text)))


@dataclass(frozen=True, slots=True)
class Word:
    """What is to be known of a word. named: whether it may be of a name. folded: as words of names are compared."""

    named: bool
    denies: bool
    folded: tuple[str, ...]


@lru_cache(WORDS_KEPT)
def _word(word: str) -> Word:
    lower = word.lower()
    inner = any(char.isupper() for char in word[1:]) or (any(char.isdigit() for char in word) and not word[0].isdigit())
    named = (word[0].isupper() or inner) and lower not in STOP_WORDS and lower not in NUMBER_WORDS
    denies = lower in NEGATIONS or NOT.search(word) is not None
    return Word(named, denies, tuple(folded(word).split()))


def folded(word: str) -> str:
    """Return a word for comparing names: lower case, no accents, dots or possessive; hyphens become spaces."""
    plain = "".join(char for char in unicodedata.normalize("NFKD", word) if not unicodedata.combining(char))
    return singular(plain.casefold()).replace(".", "").replace("-", " ").replace("’", "'")


def _within(slot: Slot, others: Iterable[Slot]) -> bool:
    return any(other.start <= slot.start and slot.end <= other.end for other in others)


def _outside(taken: Iterable[Slot], slots: Iterable[Slot]) -> Iterator[Slot]:
    """Yield the slots that lie within none of those that are taken, in as many steps as there are of both."""
    spans = sorted((slot.start, slot.end) for slot in taken)
    starts = [start for start, _ in spans]
    # The farthest end of all that begin so early: one of them reaches as far as that.
    ends = [-1, *accumulate((end for _, end in spans), max)]
    for slot in slots:
        if slot.end > ends[bisect_right(starts, slot.start)]:
            yield slot
