"""Questions made from a question: one that asks something else by a word or a number, one that asks the same."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from ragopt.slots import slots_of

Rng: TypeAlias = np.random.Generator
Edit: TypeAlias = Callable[[str, Rng], str | None]

# Each word with what turns the question around. Both ways.
OPPOSITES = """
more/less most/least highest/lowest higher/lower biggest/smallest bigger/smaller larger/smaller largest/smallest
before/after first/last increase/decrease increases/decreases increased/decreased best/worst better/worse
above/below over/under buy/sell start/stop open/close add/remove enable/disable with/without up/down to/from
maximum/minimum longer/shorter longest/shortest older/younger oldest/youngest early/late earliest/latest
always/never all/none send/receive deposit/withdraw credit/debit gain/lose win/lose won/lost allowed/forbidden
inside/outside north/south east/west male/female men/women boys/girls old/new husband/wife mother/father left/right
born/died import/export domestic/international online/offline free/paid same/different cause/prevent causes/prevents
""".split()  # noqa: SIM905 - a list of quoted pairs reads worse
ALTERNATIVES = """
miles/kilometres km/miles dollars/euros pounds/dollars hours/days days/weeks weeks/months months/years minutes/hours
kg/pounds percent/points who/when when/where where/why why/how what/who android/iphone windows/mac java/python
monday/friday january/june morning/evening summer/winter child/adult children/adults cat/dog red/blue black/white
india/china usa/canada england/france london/paris student/teacher phone/laptop card/account email/password
login/payment weight/height song/book film/game movie/album car/bike water/oil
""".split()  # noqa: SIM905
SYNONYMS = """
buy/purchase begin/start big/large quick/fast get/obtain help/assist film/movie job/work kids/children
happen/occur happened/occurred start/begin started/began make/create fix/repair phone/telephone picture/photo
smart/intelligent hard/difficult easy/simple called/named main/primary many/numerous reason/cause way/method
ways/methods learn/study best/top famous/well-known rich/wealthy end/finish ended/finished need/require
want/wish shop/store use/utilise earn/make money/cash doctor/physician
""".split()  # noqa: SIM905
FRAMES: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "what is": ("what's", "can you tell me what is", "could you explain what is", "i want to know what is"),
        "what are": ("can you tell me what are", "which are", "i'd like to know what are"),
        "how do i": ("how can i", "what is the way to", "how to", "what should i do to", "please tell me how to"),
        "how can i": ("how do i", "how to", "is there a way to", "what's the way to"),
        "how to": ("how do i", "how can one", "what is the best way to"),
        "why is": ("what is the reason", "how come", "for what reason is"),
        "where can i": ("where do i", "in which place can i", "where could i"),
        "who is": ("who's", "do you know who is", "tell me who is"),
        "can i": ("am i able to", "is it possible for me to", "could i", "may i"),
        "is there": ("does there exist", "do you know if there is"),
        "what happened": ("what took place", "what occurred"),
        "when did": ("in what year did", "at what time did", "on what date did"),
        "how much": ("what amount of", "tell me how much"),
        "do you": ("would you say you", "do you guys"),
    }
)
POLITE = ("hi, {}", "hello, {}", "please: {}", "{} thanks", "quick question: {}", "can you help? {}", "{} please")
AUXILIARIES = "is|are|was|were|can|could|should|do|does|did|will|would|has|have"
NEGATABLE = re.compile(
    rf"(?P<head>(?:why|what|which|who|how|when)\b.*?\b(?:{AUXILIARIES})\s+(?:(?:the|a|an|my|your|our|this)\s+)?\w+)"
    r"(?P<tail>\s.+)$",
    re.IGNORECASE,
)
ADVERBIAL = re.compile(r"^(?P<rest>.+?)\s+(?P<place>(?:in|on|during|after|before|for) [^,]{3,40}?)(?P<end>\s*\?*)$")


def pairs_of_words(listed: Sequence[str], *, both_ways: bool) -> Mapping[str, tuple[str, ...]]:
    """Return each word with the words it may be replaced by, from `one/other`."""
    found: dict[str, tuple[str, ...]] = {}
    for entry in listed:
        one, other = entry.split("/")
        found[one] = (*found.get(one, ()), other)
        if both_ways:
            found[other] = (*found.get(other, ()), one)
    return MappingProxyType(found)


TURNS = pairs_of_words([*OPPOSITES, *ALTERNATIVES], both_ways=True)
SAME = pairs_of_words(SYNONYMS, both_ways=True)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


def turned_around(question: str, rng: Rng) -> str | None:
    """Return the question with one word replaced by another that asks for something else, None without such a word."""
    return with_word_of(question, TURNS, rng)


def with_word_of(question: str, words: Mapping[str, tuple[str, ...]], rng: Rng) -> str | None:
    """Return the question with one of the words replaced, None if it has none of them."""
    places = [match for match in WORD.finditer(question) if match.group().lower() in words]
    if not places:
        return None
    match = places[int(rng.integers(len(places)))]
    others = words[match.group().lower()]
    other = others[int(rng.integers(len(others)))]
    return replaced(question, match.span(), as_written(other, match.group()))


def as_written(word: str, like: str) -> str:
    """Return the word with a capital where the other has one."""
    return word[0].upper() + word[1:] if like[0].isupper() else word


def replaced(text: str, span: tuple[int, int], by: str) -> str:
    """Return the text with another piece at [start, end)."""
    return text[: span[0]] + by + text[span[1] :]


def another_number(question: str, rng: Rng) -> str | None:
    """Return the question with one number changed, None without one in digits."""
    places = list(re.finditer(r"\d+", question))
    if not places:
        return None
    match = places[int(rng.integers(len(places)))]
    value = int(match.group())
    step = int(rng.integers(1, 10)) * (1 if value < 100 or len(match.group()) == 4 else 10)
    return replaced(question, match.span(), str(value - step if value > step and rng.random() < 0.5 else value + step))


def another_name(names: Sequence[str]) -> Edit:
    """Return the edit that puts one of these names where the question has a name."""

    def edit(question: str, rng: Rng) -> str | None:
        places = [slot for slot in slots_of(question) if slot.kind == "name"]
        if not places or not names:
            return None
        slot = places[int(rng.integers(len(places)))]
        name = names[int(rng.integers(len(names)))]
        return None if name.lower() == slot.value else replaced(question, (slot.start, slot.end), name)

    return edit


def exchanged(question: str, rng: Rng) -> str | None:  # noqa: ARG001 - an edit like the others
    """Return the question with its first two names in each other's place, None where that asks the same."""
    names = [slot for slot in slots_of(question) if slot.kind == "name"][:2]
    if len(names) < 2:
        return None
    (start, middle), (after, end) = ((slot.start, slot.end) for slot in names)
    between = question[middle:after]
    if re.search(r"\b(and|or|vs|versus)\b|[,&/]", between) or not between.strip():
        return None
    return question[:start] + question[after:end] + between + question[start:middle] + question[end:]


def negated(question: str, rng: Rng) -> str | None:  # noqa: ARG001 - an edit like the others
    """Return the question with a `not` after its first verb of few words and what follows that, None without one.

    Of questions for yes or no there is none: both ways they have the same answer.
    """
    match = NEGATABLE.match(question)
    if match is None or re.search(r"n't|\bnot\b", question):
        return None
    return f"{match['head']} not{match['tail']}"


def in_another_frame(question: str, rng: Rng) -> str | None:
    """Return the question that begins in other words, None if its beginning is none that is known."""
    lower = question.lower()
    frame = next((frame for frame in FRAMES if lower.startswith(frame + " ")), None)
    if frame is None:
        return None
    others = FRAMES[frame]
    return others[int(rng.integers(len(others)))] + question[len(frame) :]


def with_synonym(question: str, rng: Rng) -> str | None:
    """Return the question with one word replaced by one that means the same, None if it has none that is known."""
    return with_word_of(question, SAME, rng)


def politely(question: str, rng: Rng) -> str | None:
    """Return the question with a word of courtesy."""
    return POLITE[int(rng.integers(len(POLITE)))].format(question)


def reordered(question: str, rng: Rng) -> str | None:  # noqa: ARG001 - an edit like the others
    """Return the question with its last adverbial in front, None without one."""
    match = ADVERBIAL.match(question)
    return f"{match['place']}, {match['rest']}{match['end']}" if match else None


def mistyped(question: str, rng: Rng) -> str | None:
    """Return the question with two letters of a long plain word swapped, None without one."""
    places = list(re.finditer(r"\b[a-z]{6,}\b", question))
    if not places:
        return None
    match = places[int(rng.integers(len(places)))]
    at = match.start() + int(rng.integers(1, len(match.group()) - 2))
    return question[:at] + question[at + 1] + question[at] + question[at + 2 :]


def tersely(question: str, rng: Rng) -> str | None:  # noqa: ARG001 - an edit like the others
    """Return the question in lower case without its articles and its question mark, None if it has no article."""
    terse = re.sub(r"\b(?:the|a|an)\s+", "", question.lower().rstrip(" ?.!"))
    return None if terse == question.lower().rstrip(" ?.!") else terse


SAME_EDITS: tuple[Edit, ...] = (in_another_frame, with_synonym, politely, reordered, mistyped, tersely)


def another_question(question: str, rng: Rng, *, names: Sequence[str]) -> str | None:
    """Return a question that asks something else in nearly the same words, None if no edit applies."""
    return applied(question, (turned_around, another_number, another_name(names), exchanged, negated), rng)


def same_question(question: str, rng: Rng) -> str | None:
    """Return a question that asks the same, by up to two edits; None if none applies."""
    first, *others = rng.permutation(len(SAME_EDITS)).tolist()
    once = applied(question, [SAME_EDITS[at] for at in (first, *others[:2])], rng)
    if once is None or rng.random() < 0.5:
        return once
    return applied(once, [SAME_EDITS[at] for at in others[2:]], rng) or once


def applied(question: str, edits: Sequence[Edit], rng: Rng) -> str | None:
    """Return what the first of the edits, in a drawn order, makes of the question; None if none changes it."""
    for at in rng.permutation(len(edits)).tolist():
        made: str | None = edits[at](question, rng)
        if made is not None and made.casefold() != question.casefold():
            return made
    return None
