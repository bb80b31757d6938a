"""`python -m eval fit-verifier`: trains the verifier that ships, `ragopt/data/verifier`."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eval.cache.sets import QuestionPair
from eval.cache.training_pairs import Material, material_of
from eval.errors import EvaluationError
from eval.intervals import exact
from eval.pairs.export import export
from eval.pairs.network import new_network
from eval.pairs.training import train
from eval.pairs.values import Pair, Recipe
from eval.report import Report
from indexes.model import file_sha256
from indexes.pair_model import PairModel
from ragopt.config import cache_dir
from ragopt.stages.cache.gate import differences
from ragopt.stages.cache.verifier import CALIBRATION, FEATURES, Calibration, calibration_to_json, features

Matrix: TypeAlias = NDArray[np.float64]
Vector: TypeAlias = NDArray[np.float64]

RECIPE = Recipe(
    labels=("same",),
    epochs=2,
    batch_pairs=32,
    learning_rate=2e-4,
    max_tokens=96,
    frozen_layers=2,
    symmetric=True,
)
# Of the calibration; the intercept is free.
PENALTY = 1.0
STEPS = 50
SCORED_AT_ONCE = 64


@dataclass(frozen=True, slots=True)
class FitVerifierJob:
    """What to train on: folders of pairs, of intents and of rewritten questions. epochs: over all pairs."""

    folders: tuple[Path, ...]
    epochs: int = RECIPE.epochs
    seed: int = 0


def run(job: FitVerifierJob, out: Path) -> Report:
    """Train, write the model's folder `out`, and return what was trained on. Raises: `EvaluationError`."""
    material = asyncio.run(material_of(job.folders, seed=job.seed))
    if not material.choice:
        raise EvaluationError("name at least one folder with pairs.jsonl that is no set of intents")
    recipe = replace(RECIPE, epochs=job.epochs, seed=job.seed)
    network = new_network(labels=1, frozen_layers=recipe.frozen_layers, seed=job.seed)
    trained = train(network, material.train, as_pairs(material.choice), recipe=recipe)
    export(trained.network, out, recipe=recipe, trained_on=material.digests)
    model = PairModel.load(out, cache_folder=cache_dir())
    logits = exported_logits(model, material.choice)
    calibration = fit_calibration(material.choice, logits)
    (out / CALIBRATION).write_text(calibration_to_json(calibration), encoding="utf-8")
    return Report(
        job="fit-verifier",
        set="+".join(folder.resolve().name for folder in job.folders),
        n=len(material.train),
        seed=job.seed,
        config={"out": str(out), "sha256": file_sha256(out / "model.bin"), **counts_of(material)},
        metrics={
            "epochs": exact(len(trained.history)),
            "held_out_loss.trained": exact(min(evaluation.held_out_loss for evaluation in trained.history)),
            "held_out_loss.exported": exact(logistic_loss(material.choice, logits)),
            **{f"weight.{name}": exact(weight) for name, weight in calibration.weights.items()},
        },
    )


def logistic_loss(pairs: Sequence[QuestionPair], logits: Vector) -> float:
    """Return the mean logistic loss of the logits, float64 [n]: beside that of training, what int8 costs."""
    signs = np.array([1.0 if pair.same else -1.0 for pair in pairs])
    return float(np.logaddexp(0, -signs * logits).mean())


def as_pairs(pairs: Sequence[QuestionPair]) -> list[Pair]:
    """Return pairs of a set as what a network is trained and tested on."""
    return [Pair(pair.a, pair.b, int(pair.same)) for pair in pairs]


def counts_of(material: Material) -> dict[str, int]:
    """Return how many pairs to train on come from each source."""
    return {f"pairs.{name}": count for name, count in sorted(Counter(pair.source for pair in material.train).items())}


def exported_logits(model: PairModel, pairs: Sequence[QuestionPair]) -> Vector:
    """Return the logit of each pair by the model as it ships, float64 [n]."""
    rows = [model.judged([(pairs[at].a, pairs[at].b) for at in batch]) for batch in batches(len(pairs))]
    return np.concatenate(rows)[:, 0].astype(np.float64)


def batches(n: int) -> list[range]:
    """Return the places 0 to n - 1 in runs of at most 64."""
    return [range(start, min(n, start + SCORED_AT_ONCE)) for start in range(0, n, SCORED_AT_ONCE)]


def fit_calibration(pairs: Sequence[QuestionPair], logits: Vector) -> Calibration:
    """Return the logistic regression over the features of the pairs that the gate lets pass.

    What differs can only count against a pair: a weight that came out positive is set to 0.
    Source: Newton's method, Hastie et al., "The Elements of Statistical Learning", 2009, section 4.4.1.
    """
    differ = [differences(pair.a, pair.b) for pair in pairs]
    passed = [at for at, item in enumerate(differ) if not item.forbid]
    rows = np.array([list(features(float(logits[at]), differ[at]).values()) for at in passed])
    same = np.array([pairs[at].same for at in passed], np.float64)
    used = list(range(len(FEATURES)))
    while True:
        weights, intercept = newton(rows[:, used], same)
        wrong = [at for at, weight in zip(used, weights, strict=True) if at and weight > 0]
        if not wrong:
            break
        used = [at for at in used if at not in wrong]
    found = dict.fromkeys(FEATURES, 0.0) | {
        FEATURES[at]: round(float(weight), 6) for at, weight in zip(used, weights, strict=True)
    }
    return Calibration(found, round(intercept, 6))


def newton(rows: Matrix, same: Vector) -> tuple[Vector, float]:
    """Return the weights and the intercept of a logistic regression with a ridge penalty on the weights."""
    design = np.column_stack([rows, np.ones(len(rows))])
    penalty = np.diag([PENALTY] * rows.shape[1] + [0.0])
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        gradient = design.T @ (chance - same) + penalty @ weights
        curvature = (design * (chance * (1 - chance))[:, None]).T @ design + penalty
        weights -= np.linalg.solve(curvature + 1e-9 * np.eye(len(weights)), gradient)
    return weights[:-1], float(weights[-1])
