"""The logistic regression over features and logit, and the two thresholds at which something is said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
from numpy.typing import NDArray

from eval.routing.heads import Vector, logistic
from eval.support.rows import ClaimRow, matrix_of
from ragopt.stages.cite.calibration import LOGIT, Calibration
from ragopt.stages.cite.features import FEATURES

# Of the weight of all rows, what the claims made from paragraphs have together where a model judges. Without one their
# faults, which have every word of their evidence, would only teach that words prove nothing.
MADE_SHARE = 0.2
PENALTY = 1.0
# Of the labelled claims: the share of supported ones that may be called unsupported, and of others called supported.
# On sets that nothing was learned from the former is three times as much and more.
WRONGLY_UNSUPPORTED = 0.02
WRONGLY_SUPPORTED = 0.10
DIGITS = 4


def fitted(labelled: Sequence[ClaimRow], made: Sequence[ClaimRow], *, judged: bool) -> Calibration:
    """Return the calibration of rows: both labels weigh the same, and within them each kind of row its share.

    Quotations and slips are left out: the judge needs no score for them. The thresholds are those of the labelled rows.
    """
    real, planted = ([row for row in rows if scored(row)] for rows in (labelled, made if judged else ()))
    features = matrix_of([*real, *planted], judged=judged)
    supported = np.array([row.case.supported for row in (*real, *planted)], np.float64)
    is_made = np.arange(len(features)) >= len(real)
    centre, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
    weights = row_weights(supported, is_made)
    slopes = logistic((features - centre) / spread, supported, penalty=PENALTY, weights=weights)
    names = (*FEATURES, LOGIT) if judged else FEATURES
    found = Calibration(
        {name: round(float(slope), DIGITS) for name, slope in zip(names, slopes[:-1] / spread, strict=True)},
        intercept=round(float(slopes[-1] - (slopes[:-1] / spread * centre).sum()), DIGITS),
        unsupported_below=0.0,
        supported_from=1.0,
    )
    scores = np.array([found.score(dict(zip(names, row, strict=True))) for row in features[: len(real)].tolist()])
    return with_thresholds(found, scores, supported[: len(real)])


def scored(row: ClaimRow) -> bool:
    """Return whether the judge needs the calibration for a row: no quotation, no slip, and some evidence."""
    return row.reading.quoted is None and row.reading.slip is None and bool(row.reading.candidates)


def with_thresholds(found: Calibration, scores: Vector, supported: Vector) -> Calibration:
    """Return the calibration with the thresholds at which labelled claims are called wrongly as rarely as wanted."""
    below = float(np.quantile(scores[supported > 0], WRONGLY_UNSUPPORTED))
    above = float(np.quantile(scores[supported == 0], 1 - WRONGLY_SUPPORTED))
    return replace(found, unsupported_below=round(below, DIGITS), supported_from=round(max(above, below), DIGITS))


def row_weights(supported: Vector, made: NDArray[np.bool_]) -> Vector:
    """Return a weight per row, 1 on average: labels weigh the same, made rows `MADE_SHARE` of each label."""
    weights = np.zeros(len(supported))
    for label in (0.0, 1.0):
        for is_made, share in ((True, MADE_SHARE), (False, 1 - MADE_SHARE)):
            chosen = (supported == label) & (made == is_made)
            weights[chosen] = share / max(1, int(chosen.sum()))
    return np.asarray(weights * len(weights) / weights.sum(), np.float64)


def calibration_json(*, judged: Calibration, lexical: Calibration) -> str:
    """Return both as the file that ships."""
    return json.dumps({"judged": asdict(judged), "lexical": asdict(lexical)}, indent=2) + "\n"
