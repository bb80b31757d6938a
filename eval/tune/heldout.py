"""What a choice is worth on questions that it was not chosen by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.intervals import Interval, bootstrap
from eval.tune.choose import Rule
from eval.tune.trials import Measured

FOLDS = 5


@dataclass(frozen=True, eq=False, slots=True)
class Unseen:
    """A profile on each question as it was chosen without that question's fold.

    quality, tokens: one place per question, in asking order. same: in how many folds the choice was that of all the
    questions.
    """

    quality: NDArray[np.float64]
    tokens: NDArray[np.float64]
    same: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A profile chosen without the questions it is then measured on.

    quality, tokens: means over all questions, each asked with what was chosen without its fold.
    same: in how many of `folds` folds the choice was that of all the questions.
    """

    quality: Interval
    tokens: Interval
    same: int
    folds: int


def folds_of(groups: Sequence[str], *, seed: int, most: int = FOLDS) -> list[NDArray[np.intp]]:
    """Return at most `most` folds of about equal size, as places in `groups`; a group is never in two folds.

    One group alone is split question by question. [] where there are not two to hold out.
    """
    names = list(groups) if len(set(groups)) > 1 else [str(at) for at in range(len(groups))]
    distinct = sorted(set(names))
    if len(distinct) < 2:
        return []
    shuffled = [distinct[at] for at in np.random.default_rng(seed).permutation(len(distinct))]
    size = {name: names.count(name) for name in distinct}
    folds: list[list[str]] = [[] for _ in range(min(most, len(distinct)))]
    for name in sorted(shuffled, key=lambda name: -size[name]):
        min(folds, key=lambda fold: sum(size[other] for other in fold)).append(name)
    return [np.asarray([at for at, name in enumerate(names) if name in fold], np.intp) for fold in folds]


def unseen(rows: Sequence[Measured], folds: Sequence[NDArray[np.intp]], *, rule: Rule) -> Mapping[str, Unseen]:
    """Return each profile as chosen without a fold and measured on it, {} without folds.

    `rows` are candidates over the same questions; each question is in one fold.
    """
    if not folds:
        return {}
    by_candidate = {row.candidate: row for row in rows}
    everything = dict(rule.profiles(rows).named())
    quality = {name: np.zeros(len(rows[0].quality)) for name in everything}
    tokens = {name: np.zeros(len(rows[0].quality)) for name in everything}
    same = dict.fromkeys(everything, 0)
    for fold in folds:
        rest = np.setdiff1d(np.arange(len(rows[0].quality)), fold)
        for name, choice in rule.profiles([row.only(rest) for row in rows]).named():
            chosen = by_candidate[choice.candidate].only(fold)
            quality[name][fold], tokens[name][fold] = chosen.quality, chosen.tokens
            same[name] += choice.candidate == everything[name].candidate
    return {name: Unseen(quality[name], tokens[name], same[name]) for name in everything}


def held_out(rows: Sequence[Measured], folds: Sequence[NDArray[np.intp]], *, rule: Rule) -> Mapping[str, HeldOut]:
    """Return what each profile is worth when chosen without a fold and measured on it, {} without folds."""
    return {
        name: HeldOut(
            bootstrap(item.quality.tolist(), seed=rule.seed),
            bootstrap(item.tokens.tolist(), seed=rule.seed),
            item.same,
            len(folds),
        )
        for name, item in unseen(rows, folds, rule=rule).items()
    }
