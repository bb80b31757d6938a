"""The two models of a follow-up, fitted: a logistic regression that is the gate, one hidden layer that selects."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from eval.rewrite.sets import RewriteCase
from ragopt.evidence import words
from ragopt.stages.rewrite.conversation import Rarity
from ragopt.stages.rewrite.selector import FollowUpModel, Gate, Inputs, Selector, candidate_rows, signs_of

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]

# Words of the table: the most common ones of the corpus that is read for it.
COMMON_WORDS = 2_000
# Of standardised signs, per turn. Measured by conversation: 10 to 300 are alike.
GATE_PENALTY = 100.0
NEWTON_STEPS = 25
UNITS = 16
# Networks whose log-odds are averaged: one alone changes the shared words by half a point from seed to seed.
NETWORKS = 3
EPOCHS = 20
BATCH = 1_024
RATE = 4e-3
DECAY = 2e-3
# How often a turn of a small set counts while selecting is learned, so that a large one does not drown it.
SMALL_SET = 1_000
SMALL_SET_TIMES = 4


@dataclass(frozen=True, slots=True)
class Material:
    """The turns with a history of one set, read once.

    signs: of each turn. leans: whether the person changed it. rows, carried: of all candidates of all turns, and
    whether the person's rewrite has it; owners: whose candidates they are, int [rows].
    """

    cases: Sequence[RewriteCase]
    signs: Sequence[Mapping[str, float]]
    leans: Vector
    rows: Sequence[Mapping[str, float]]
    carried: Vector
    owners: NDArray[np.int64]

    def without(self, left_out: frozenset[str]) -> Material:
        """Return the material of the other conversations."""
        kept = np.array([case.conversation not in left_out for case in self.cases], bool)
        of_rows = kept[self.owners] if len(self.owners) else np.zeros(0, bool)
        return Material(
            [case for case, keep in zip(self.cases, kept, strict=True) if keep],
            [row for row, keep in zip(self.signs, kept, strict=True) if keep],
            self.leans[kept],
            [row for row, keep in zip(self.rows, of_rows, strict=True) if keep],
            self.carried[of_rows],
            (np.cumsum(kept) - 1)[self.owners[of_rows]],
        )


def rarity_of(texts: Iterable[str]) -> Rarity:
    """Return the table of the most common topic words of a corpus: 0 for one in every text, 1 for the rarest kept."""
    counts: Counter[str] = Counter()
    total = 0
    for text in texts:
        counts.update(set(words(text)))
        total += 1
    kept = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:COMMON_WORDS]
    rarest = math.log((total + 1) / kept[-1][1]) if kept else 1.0
    return Rarity({word: round(math.log((total + 1) / count) / rarest, 2) for word, count in kept})


def material_of(cases: Sequence[RewriteCase], rarity: Rarity) -> Material:
    """Return what can be learned from the turns that have a history."""
    later = [case for case in cases if case.history]
    signs: list[Mapping[str, float]] = []
    rows: list[Mapping[str, float]] = []
    carried: list[float] = []
    owners: list[int] = []
    for at, case in enumerate(later):
        asked, of_question = signs_of(case.query, case.history, rarity=rarity)
        candidates, of_candidates = candidate_rows(asked, of_question)
        signs.append(of_question)
        rows += of_candidates
        carried += [is_carried(item.words, case.missing) for item in candidates]
        owners += [at] * len(candidates)
    return Material(
        later,
        signs,
        np.array([not case.self_contained for case in later], np.float64),
        rows,
        np.array(carried, np.float64),
        np.array(owners, np.int64),
    )


def materials_of(cases: Sequence[RewriteCase], rarity: Rarity) -> list[Material]:
    """Return what can be learned from the turns, and the same turns again as if nobody had answered.

    Some clients send the questions alone, and answers in a set of short ones are not like a service's.
    """
    bare = [
        replace(case, history=tuple(turn for turn in case.history if turn.role == "user"))
        for case in cases
        if any(turn.role == "assistant" for turn in case.history)
    ]
    return [material_of(part, rarity) for part in (cases, bare) if part]


def is_carried(phrase: Sequence[str], missing: frozenset[str]) -> float:
    """Return 1 if at least half of a phrase's words are missing ones, else 0."""
    return float(2 * sum(word in missing for word in phrase) >= len(phrase))


def fit_model(materials: Sequence[Material], rarity: Rarity, *, seed: int) -> FollowUpModel:
    """Return both models fitted to the material of one set or several."""
    return FollowUpModel(rarity, fit_gate(materials), fit_selector(materials, seed=seed))


def fit_gate(materials: Sequence[Material]) -> Gate:
    """Return the gate. In each set both answers weigh the same, and a set weighs the root of its turns."""
    inputs = inputs_of([row for item in materials for row in item.signs])
    rows = np.concatenate([inputs.rows(item.signs) for item in materials]).astype(np.float64)
    leans = np.concatenate([item.leans for item in materials])
    weights = np.concatenate([balanced(item.leans) * math.sqrt(len(item.leans)) for item in materials])
    fitted = logistic(rows, leans, weights=weights * len(leans) / weights.sum())
    return Gate(inputs, fitted[:-1].astype(np.float32), float(fitted[-1]))


def balanced(answers: Vector) -> Vector:
    """Return weights that sum to 1, half of it for each answer that is there."""
    share = float(np.clip(answers.mean(), 1 / (2 * len(answers)), 1 - 1 / (2 * len(answers))))
    raw = np.where(answers == 1, 1 / share, 1 / (1 - share))
    return np.asarray(raw / raw.sum(), np.float64)


def logistic(rows: Matrix, answers: Vector, *, weights: Vector) -> Vector:
    """Return the weights of a ridge logistic regression and, last, its intercept, which is not penalised.

    Source: Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning", section 4.4.1 (Newton's method).
    """
    full = np.column_stack([rows, np.ones(len(rows))])
    penalty = np.diag([GATE_PENALTY] * rows.shape[1] + [1e-6])
    found = np.zeros(full.shape[1])
    for _ in range(NEWTON_STEPS):
        chances = 1 / (1 + np.exp(-np.clip(full @ found, -30, 30)))
        gradient = full.T @ (weights * (chances - answers)) + penalty @ found
        curvature = (full * (weights * chances * (1 - chances))[:, None]).T @ full + penalty
        found -= np.linalg.solve(curvature, gradient)
    return found


def fit_selector(materials: Sequence[Material], *, seed: int) -> Selector:
    """Return the selector, by stochastic gradient descent on the log loss with weight decay."""
    inputs = inputs_of([row for item in materials for row in item.rows])
    made = [(inputs.rows(item.rows), item.carried.astype(np.float32)) for item in materials]
    times = [SMALL_SET_TIMES if len(item.cases) < SMALL_SET else 1 for item in materials]
    rows = np.concatenate([part for (part, _), often in zip(made, times, strict=True) for _ in range(often)])
    carried = np.concatenate([part for (_, part), often in zip(made, times, strict=True) for _ in range(often)])
    nets = [descend(rows, carried, seed=seed + at) for at in range(NETWORKS)]
    return Selector(
        inputs,
        hidden=np.concatenate([net[0] for net in nets], axis=1),
        hidden_bias=np.concatenate([net[1] for net in nets]),
        output=np.asarray(np.concatenate([net[2][:, 0] for net in nets]) / NETWORKS, np.float32),
        output_bias=float(np.mean([net[3][0] for net in nets])),
    )


def descend(
    rows: NDArray[np.float32], answers: NDArray[np.float32], *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return hidden weights and bias, output weights and bias.

    Source: Kingma and Ba, "Adam", ICLR 2015, with its constants; Glorot and Bengio, AISTATS 2010, for the start.
    """
    rng = np.random.default_rng(seed)
    width = rows.shape[1]
    shapes = ((width, UNITS), (UNITS,), (UNITS, 1), (1,))
    params = [
        rng.uniform(-1, 1, shape).astype(np.float32) * np.float32(math.sqrt(6 / sum(shape)) if len(shape) > 1 else 0)
        for shape in shapes
    ]
    firsts, seconds = [np.zeros_like(part) for part in params], [np.zeros_like(part) for part in params]
    step = 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(rows))
        for start in range(0, len(order), BATCH):
            chosen = order[start : start + BATCH]
            step += 1
            for part, first, second, gradient in zip(
                params, firsts, seconds, gradients(params, rows[chosen], answers[chosen]), strict=True
            ):
                first += np.float32(0.1) * (gradient - first)
                second += np.float32(0.001) * (gradient**2 - second)
                rate = RATE * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
                part -= np.float32(rate) * first / (np.sqrt(second) + np.float32(1e-8))
    return params[0], params[1], params[2], params[3]


def gradients(
    params: Sequence[NDArray[np.float32]], rows: NDArray[np.float32], answers: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Return the gradient of the mean log loss, and of the weight decay, for each parameter."""
    hidden, hidden_bias, output, output_bias = params
    units = np.maximum(rows @ hidden + hidden_bias, 0)
    chances = 1 / (1 + np.exp(-np.clip(units @ output + output_bias, -30, 30)))
    error = (chances - answers[:, None]) / np.float32(len(rows))
    back = (error @ output.T) * (units > 0)
    return [
        rows.T @ back + np.float32(DECAY) * hidden,
        back.sum(axis=0),
        units.T @ error + np.float32(DECAY) * output,
        error.sum(axis=0),
    ]


def inputs_of(rows: Sequence[Mapping[str, float]]) -> Inputs:
    """Return the inputs that standardise these rows; a number that never changes is left out."""
    names = tuple(rows[0])
    values = np.array([[row[name] for name in names] for row in rows], np.float64)
    scales = values.std(axis=0)
    varies = scales > 1e-9
    kept = tuple(name for name, keep in zip(names, varies, strict=True) if keep)
    return Inputs(
        kept, values.mean(axis=0)[varies].astype(np.float32).round(4), scales[varies].astype(np.float32).round(4)
    )
