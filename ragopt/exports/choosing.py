"""Which kept answers are fit to train a model on: supported, not disliked, impersonal, each question once. Pure."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ragopt.money.prices import FREE_PROVIDERS
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.state.kept import KeptAnswer

Reason: TypeAlias = Literal[
    "other collection", "no model", "not supported", "rated down", "not rated up", "not for distillation",
    "personal data", "repeated",
]  # fmt: skip

# Two questions that share this part of their words are the same question.
NEAR = 0.8
WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be exported. collection: "" for every one. liked: only what was rated up.

    distil_below: only answers of a stronger tier to questions of less difficulty than this; None: of every tier.
    """

    collection: str = ""
    liked: bool = False
    distil_below: float | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The answers that are fit, oldest first, and how many were left out for which reason."""

    answers: tuple[KeptAnswer, ...]
    left_out: dict[Reason, int]


def chosen(kept: Sequence[KeptAnswer], wanted: Wanted, recognisers: Recognisers = OWN) -> Chosen:
    """Return what of the kept answers is fit to train on."""
    reasons = {one.id: reason_against(one, wanted, recognisers) for one in kept}
    fit = [one for one in kept if reasons[one.id] is None]
    # Of the same question the answer stays that was rated up, then the newest.
    best_first = sorted(fit, key=lambda one: (one.liked is not True, -one.at))
    single = {one.id for one in distinct(best_first)}
    counts: Counter[Reason] = Counter(reason for reason in reasons.values() if reason is not None)
    counts["repeated"] += len(fit) - len(single)
    return Chosen(tuple(one for one in fit if one.id in single), {reason: n for reason, n in counts.most_common() if n})


def reason_against(one: KeptAnswer, wanted: Wanted, recognisers: Recognisers) -> Reason | None:
    """Return why an answer is not fit, None if it is."""
    distils = wanted.distil_below is None or (
        one.tier != "simple" and one.difficulty is not None and one.difficulty < wanted.distil_below
    )
    against: tuple[tuple[Reason, bool], ...] = (
        ("other collection", wanted.collection not in ("", one.collection)),
        ("no model", one.provider in FREE_PROVIDERS),
        ("not supported", not one.supported),
        ("rated down", one.liked is False),
        ("not rated up", wanted.liked and one.liked is None),
        ("not for distillation", not distils),
    )
    found = next((reason for reason, holds in against if holds), None)
    # Last, because it takes the longest. It was replaced when the answer was kept; the recognisers may know more now.
    return found or ("personal data" if is_personal(one, recognisers) else None)


def is_personal(one: KeptAnswer, recognisers: Recognisers) -> bool:
    """Return whether there is personal data in what would be exported."""
    texts = (one.question, one.answer, *(text for item in one.passages for text in (item.title, item.text)))
    return any(recognisers.find(text) for text in texts)


def distinct(answers: Sequence[KeptAnswer]) -> list[KeptAnswer]:
    """Return the answers without those whose question was there before, in other case, order or nearly all words.

    Near: the words that both have, over those that either has, are at least `NEAR`. Two such sets share one of their
    rarest words, so only questions that do are compared.
    """
    words = {one.id: frozenset(WORD.findall(one.question.casefold())) for one in answers}
    often = Counter(word for each in words.values() for word in each)
    seen: dict[str, list[frozenset[str]]] = defaultdict(list)
    found: list[KeptAnswer] = []
    for one in answers:
        mine = words[one.id]
        rarest_first = sorted(mine, key=lambda word: (often[word], word))
        rare = rarest_first[: len(mine) - int(NEAR * len(mine)) + 1]
        if any(overlap(mine, other) >= NEAR for word in rare for other in seen[word]):
            continue
        found.append(one)
        for word in rare:
            seen[word].append(mine)
    return found


def diverse(answers: Sequence[KeptAnswer], count: int) -> list[KeptAnswer]:
    """Return at most `count` answers whose questions share few words: the newest, then always the least alike.

    Source: Gonzalez, "Clustering to minimize the maximum intercluster distance", 1985.
    """
    left = sorted(answers, key=lambda one: (-one.at, one.id))
    words = {one.id: frozenset(WORD.findall(one.question.casefold())) for one in left}
    nearest = dict.fromkeys(words, 0.0)
    found: list[KeptAnswer] = []
    while left and len(found) < count:
        found.append(left.pop(min(range(len(left)), key=lambda at: nearest[left[at].id])))
        for one in left:
            nearest[one.id] = max(nearest[one.id], overlap(words[one.id], words[found[-1].id]))
    return found


def overlap(one: frozenset[str], other: frozenset[str]) -> float:
    """Return the share of the words of either that both have; 1 for two empty sets."""
    either = len(one | other)
    return len(one & other) / either if either else 1.0
