"""Sentences to claims that they carry, and to claims that they do not: light rewordings and planted faults. Seeded."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from ragopt.slots import is_negated, slots_of

Rng: TypeAlias = np.random.Generator

ASIDE = re.compile(r"\s*\([^()]*\)|\s+[–—][^–—]+[–—](?=\s)")
LEAD = re.compile(
    r"^(?P<lead>(?:In|On|At|During|After|Since|By|Until|From|For)\s[^,.]{2,40}),\s+(?P<rest>[^.]+?)(?P<end>\.?)$"
)
TRAILING = re.compile(r",\s+(?:which|who|whose|where|while|although|but|with|including|and)\s[^.]*(?=\.?$)")
AUXILIARY = re.compile(
    r"\b(?P<verb>is|are|was|were|can|could|will|would|should|may|might|must|does|did|do)\b(?!\s+not)"
)
HAVE = re.compile(r"\b(?P<verb>has|have|had)\s+(?=\w+(?:ed|en)\b)")
DENIED = re.compile(r"\s+(?:not|never)\b|n['’]t\b")
# Each word and what says the same in nearly every sentence.
SYNONYMS: Mapping[str, str] = MappingProxyType(
    {
        "began": "started", "begun": "started", "started": "began", "also": "additionally", "large": "big",
        "big": "large", "many": "numerous", "numerous": "many", "however": "yet", "about": "approximately",
        "approximately": "about", "around": "roughly", "nearly": "almost", "almost": "nearly",
        "founded": "established", "established": "founded", "built": "constructed", "constructed": "built",
        "used": "employed", "received": "got", "often": "frequently", "frequently": "often",
        "showed": "demonstrated", "obtained": "got", "increased": "rose", "rose": "increased", "decreased": "fell",
        "fell": "decreased", "largest": "biggest", "biggest": "largest", "important": "significant",
        "located": "situated", "situated": "located", "purchased": "bought", "bought": "purchased",
        "died": "passed away", "entire": "whole", "whole": "entire", "primarily": "mainly", "mainly": "primarily",
        "previously": "formerly", "area": "region", "region": "area", "help": "aid", "show": "indicate",
        "shows": "indicates", "percent": "per cent", "people": "persons", "children": "kids", "created": "made",
        "made": "created", "allows": "lets",
    }
)  # fmt: skip
OPPOSITES: Mapping[str, str] = MappingProxyType(
    {
        "increased": "decreased", "decreased": "increased", "higher": "lower", "lower": "higher", "more": "fewer",
        "largest": "smallest", "smallest": "largest", "before": "after", "after": "before", "first": "last",
        "last": "first", "won": "lost", "lost": "won", "highest": "lowest", "lowest": "highest", "north": "south",
        "south": "north", "east": "west", "west": "east", "rose": "fell", "fell": "rose", "increase": "decrease",
        "decrease": "increase", "increases": "decreases", "decreases": "increases", "improved": "worsened",
        "older": "younger", "younger": "older", "early": "late", "late": "early", "all": "none", "always": "never",
        "positive": "negative", "negative": "positive", "male": "female", "female": "male", "men": "women",
        "women": "men", "greater": "smaller", "larger": "smaller", "smaller": "larger", "best": "worst",
        "oldest": "newest", "public": "private", "private": "public", "old": "new", "less": "more", "most": "least",
        "least": "most", "better": "worse", "worse": "better", "upper": "lower", "inside": "outside",
        "accepted": "rejected", "rejected": "accepted", "allowed": "forbade", "open": "closed",
        "significant": "insignificant", "strong": "weak", "weak": "strong", "high": "low", "low": "high",
        "major": "minor",
    }
)  # fmt: skip
WORD = re.compile(r"[A-Za-z]+")


def reworded(sentence: str, rng: Rng) -> str:
    """Return a claim that the sentence carries: shorter, turned around, or with other words; never with other facts."""
    text = ASIDE.sub("", sentence) if rng.random() < 0.7 else sentence
    if rng.random() < 0.6:
        text = TRAILING.sub("", text)
    if rng.random() < 0.6 and (match := LEAD.match(text)):
        lead = match["lead"][0].lower() + match["lead"][1:]
        text = f"{match['rest'][0].upper()}{match['rest'][1:]} {lead}{match['end']}"
    if rng.random() < 0.6:
        text = replaced_words(text, SYNONYMS, rng, share=0.6)
    if rng.random() < 0.3:
        text = text.replace("%", " percent").replace("  ", " ")
    return text.strip()


def replaced_words(text: str, table: Mapping[str, str], rng: Rng, *, share: float) -> str:
    """Return the text with this share of the words that the table has replaced, their capitals kept."""

    def other(match: re.Match[str]) -> str:
        found = table.get(match.group().lower())
        if found is None or rng.random() >= share:
            return match.group()
        return found[0].upper() + found[1:] if match.group()[0].isupper() else found

    return WORD.sub(other, text)


def wrong_number(claim: str, rng: Rng, others: Sequence[str]) -> str | None:
    """Return the claim with one number or date changed, None where it has none. others: of the same source."""
    slots = [
        slot
        for slot in slots_of(claim)
        if slot.kind in {"number", "date"} and any(map(str.isdigit, claim[slot.start : slot.end]))
    ]
    if not slots:
        return None
    slot = slots[int(rng.integers(len(slots)))]
    digits = list(re.finditer(r"\d+", claim[slot.start : slot.end]))
    chosen = digits[int(rng.integers(len(digits)))]
    numbers = [other for other in others if other != chosen.group() and len(other) == len(chosen.group())]
    if numbers and rng.random() < 0.3:
        return edited(
            claim, slot.start + chosen.start(), slot.start + chosen.end(), numbers[int(rng.integers(len(numbers)))]
        )
    value, top = int(chosen.group()), 10 ** len(chosen.group()) - 1
    step = int(rng.integers(1, max(3, min(20, value // 3 + 2))))
    changed = value + step if value + step <= top and (rng.random() < 0.5 or value <= step) else max(0, value - step)
    text = str(changed).rjust(len(chosen.group()), "0") if chosen.group().startswith("0") else str(changed)
    return None if changed == value else edited(claim, slot.start + chosen.start(), slot.start + chosen.end(), text)


def wrong_name(claim: str, rng: Rng, others: Sequence[str]) -> str | None:
    """Return the claim with one name replaced by one of the others, None where it has none or none fits."""
    names = [slot for slot in slots_of(claim) if slot.kind == "name"]
    fitting = [other for other in others if other.casefold() not in claim.casefold()]
    if not names or not fitting:
        return None
    slot = names[int(rng.integers(len(names)))]
    alike = [other for other in fitting if len(other.split()) == len(claim[slot.start : slot.end].split())] or fitting
    return edited(claim, slot.start, slot.end, alike[int(rng.integers(len(alike)))])


def swapped_names(claim: str, rng: Rng, others: Sequence[str]) -> str | None:  # noqa: ARG001 - one signature for all
    """Return the claim with two of its names in each other's place, None where it has not two that differ."""
    names = [slot for slot in slots_of(claim) if slot.kind == "name"]
    if len(names) < 2 or names[0].value == names[-1].value:
        return None
    first, last = names[0], names[-1]
    swapped = edited(claim, last.start, last.end, claim[first.start : first.end])
    return edited(swapped, first.start, first.end, claim[last.start : last.end])


def denied(claim: str, rng: Rng, others: Sequence[str]) -> str | None:  # noqa: ARG001
    """Return the claim with a negation put in, or taken out where it has one; None where neither is simple."""
    if is_negated(slots_of(claim)):
        changed = DENIED.sub("", claim, count=1)
        return None if changed == claim else changed
    match = AUXILIARY.search(claim) or HAVE.search(claim)
    return edited(claim, match.end("verb"), match.end("verb"), " not") if match else None


def turned(claim: str, rng: Rng, others: Sequence[str]) -> str | None:  # noqa: ARG001
    """Return the claim with one word replaced by its opposite, None where it has none."""
    found = [match for match in WORD.finditer(claim) if match.group().lower() in OPPOSITES]
    if not found:
        return None
    match = found[int(rng.integers(len(found)))]
    word = OPPOSITES[match.group().lower()]
    return edited(claim, match.start(), match.end(), word[0].upper() + word[1:] if match.group()[0].isupper() else word)


Edit: TypeAlias = Callable[[str, Rng, Sequence[str]], str | None]
EDITS: Mapping[str, Edit] = MappingProxyType(
    {"number": wrong_number, "name": wrong_name, "swap": swapped_names, "negation": denied, "opposite": turned}
)


def edited(text: str, start: int, end: int, new: str) -> str:
    """Return the text with [start, end) replaced."""
    return text[:start] + new + text[end:]


def names_in(text: str) -> list[str]:
    """Return the names of a text as they are written, each once."""
    return list(dict.fromkeys(text[slot.start : slot.end] for slot in slots_of(text) if slot.kind == "name"))


def digits_in(text: str) -> list[str]:
    """Return the runs of digits in a text, each once."""
    return list(dict.fromkeys(re.findall(r"\d+", text)))
