"""The heads of the difficulty scorer, fitted: ridge regression and logistic regression in closed steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eval.errors import EvaluationError
from eval.routing.curve import Outcomes
from ragopt.stages.route.difficulty import EvidenceHead, GeneralHead, standardised_length

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

# Of unit vectors. Measured by domain, unseen ones tested: 12 and 40 are alike, 4 and 1,000 lose a point of APGR.
RIDGE = 12.0
# Of standardised features. Measured on sets that were left out: 100 is better than 3 and 30 on most of them.
LOGISTIC_RIDGE = 100.0
# An intercept of its own for each set, scaled so that the penalty hardly touches it.
SET_SCALE = 30.0
NEWTON_STEPS = 30
FOLDS = 10


@dataclass(frozen=True, slots=True)
class Prompts:
    """Questions without context. vectors: float64 [n, dim], unit rows. groups: the domain of each."""

    texts: Sequence[str]
    groups: Sequence[str]
    vectors: Matrix
    outcomes: Outcomes

    def part(self, chosen: NDArray[np.bool_]) -> Prompts:
        """Return the questions that are chosen."""
        places: list[int] = np.flatnonzero(chosen).tolist()
        return Prompts(
            [self.texts[at] for at in places],
            [self.groups[at] for at in places],
            self.vectors[places],
            Outcomes(self.outcomes.weak[places], self.outcomes.strong[places]),
        )


def fit_general(prompts: Prompts, *, seed: int) -> GeneralHead:
    """Return the head that reads a question alone; its scale and calibration are of groups it was not fitted to."""
    lengths = np.log(np.maximum(1, [len(text) for text in prompts.texts]))
    mean, scale = float(lengths.mean()), max(float(lengths.std()), 1e-6)
    length = np.array([standardised_length(text, mean=mean, scale=scale) for text in prompts.texts])
    unseen = np.zeros(len(length))
    for test in folds(prompts.groups, seed=seed):
        train = prompts.part(~test)
        unseen[test] = prompts.vectors[test] @ ridge(train.vectors, train.outcomes.gap)
    middle, spread = float(unseen.mean()), max(float(unseen.std()), 1e-9)
    # Not whether the weak model fails: where the strong one fails as well, nothing is gained by asking it.
    helps = (prompts.outcomes.gap > 0).astype(np.float64)
    both = logistic(((unseen - middle) / spread + length)[:, None], helps, penalty=0)
    alone = logistic(length[:, None], helps, penalty=0)
    return GeneralHead(
        embedding=ridge(prompts.vectors, prompts.outcomes.gap).astype(np.float32),
        embedding_mean=middle,
        embedding_scale=spread,
        length_mean=mean,
        length_scale=scale,
        slope=float(both[0]),
        intercept=float(both[1]),
        length_slope=float(alone[0]),
        length_intercept=float(alone[1]),
    )


def unseen_difficulty(prompts: Prompts, *, seed: int) -> Vector:
    """Return the uncalibrated difficulty of each question by a head that never saw its domain, float64 [n].

    Uncalibrated, because one calibration ships: it does not change the order, but ten of them would shuffle the folds.
    """
    scores = np.zeros(len(prompts.texts))
    for test in folds(prompts.groups, seed=seed):
        head = fit_general(prompts.part(~test), seed=seed)
        for at in np.flatnonzero(test).tolist():
            scores[at] = head.standardised(prompts.texts[at], prompts.vectors[at].astype(np.float32))
    return scores


def fit_evidence(rows: Sequence[Mapping[str, float]], fails: Vector, *, sets: Sequence[str]) -> EvidenceHead:
    """Return the head that reads named features; `fails` may be fractions, `sets` says which set each row is of.

    Each set has an intercept of its own while fitting, so that what tells the sets apart is not taken for difficulty;
    what ships is their mean over the rows. Raises: `EvaluationError` for no rows.
    """
    if not rows:
        raise EvaluationError("there is no question with a gold answer to fit the evidence head to")
    names = list(rows[0])
    table = np.array([[row[name] for name in names] for row in rows], np.float64)
    means, scales = table.mean(axis=0), np.maximum(table.std(axis=0), 1e-6)
    own = np.array([[SET_SCALE * (name == other) for other in sorted(set(sets))[1:]] for name in sets])
    fitted = logistic(np.hstack([(table - means) / scales, own]), fails, penalty=LOGISTIC_RIDGE)
    features, intercepts = fitted[: len(names)], fitted[len(names) : -1]
    weights = {name: float(weight) for name, weight in zip(names, features / scales, strict=True)}
    # What hardly varies in the training questions says nothing about others.
    kept = {name: weight for name, weight, scale in zip(names, weights.values(), scales, strict=True) if scale > 1e-4}
    return EvidenceHead(
        dict(zip(names, map(float, means), strict=True)), kept, float(fitted[-1] + (own @ intercepts).mean())
    )


def folds(groups: Sequence[str], *, seed: int) -> Iterator[NDArray[np.bool_]]:
    """Yield which rows are tested in each of at most ten folds; all rows of a group are in one fold.

    Raises: `EvaluationError` if there are not two groups.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        raise EvaluationError("a split needs at least two groups")
    drawn = np.random.default_rng(seed).permutation(len(names)) % min(FOLDS, len(names))
    of_group = dict(zip(names, drawn, strict=True))
    of_row = np.array([of_group[group] for group in groups])
    for fold in range(min(FOLDS, len(names))):
        yield of_row == fold


def ridge(rows: Matrix, values: Vector) -> Vector:
    """Return the weights, float64 [dim], of the ridge regression of centred `values` on centred `rows`."""
    centred = rows - rows.mean(axis=0)
    gram = centred.T @ centred + RIDGE * np.eye(rows.shape[1])
    return np.asarray(np.linalg.solve(gram, centred.T @ (values - values.mean())), np.float64)


def logistic(rows: Matrix, targets: Vector, *, penalty: float, weights: Vector | None = None) -> Vector:
    """Return the slopes and, last, the bias of a logistic regression by Newton's method; targets in [0, 1].

    weights: of the rows; None: 1 each.

    Source: Hastie, Tibshirani, Friedman, "The Elements of Statistical Learning", section 4.4.1.
    """
    design = np.hstack([rows, np.ones((len(rows), 1))])
    shrink = np.append(np.full(rows.shape[1], penalty), 0.0)
    found, each = np.zeros(design.shape[1]), np.ones(len(rows)) if weights is None else weights
    for _ in range(NEWTON_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ found, -30, 30)))
        slope = design.T @ (each * (targets - chance)) - shrink * found
        curve = (design * (each * chance * (1 - chance))[:, None]).T @ design + np.diag(shrink + 1e-9)
        step = np.linalg.solve(curve, slope)
        found = found + step
        if float(np.abs(step).max()) < 1e-8:
            break
    return np.asarray(found, np.float64)
