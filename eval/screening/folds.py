"""What weights make of texts that they did not learn from: the numbers that thresholds and cards stand on."""

from __future__ import annotations

from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from eval.intervals import Interval, bootstrap
from eval.screening.learning import Flags, Material, Odds, learn

FOLDS = 3


def unseen_odds(material: Material, *, seed: int) -> tuple[Odds, Odds]:
    """Return the log-odds of each row, jointly and of signs alone, by weights that saw none of its group."""
    fold = folds_of(material, seed=seed)
    joint, alone = np.zeros(len(fold)), np.zeros(len(fold))
    for number in tqdm(range(FOLDS), desc="fold", unit="fit", leave=False):
        test: Flags = fold == number
        signs, meaning = learn(material.part(~test), seed=seed).odds(material.part(test))
        joint[test], alone[test] = signs + meaning, signs
    return joint, alone


def folds_of(material: Material, *, seed: int) -> NDArray[np.int64]:
    """Return the number of the fold that each row is left out with: the same for all of its group."""
    return np.array([crc32(f"{seed}/{group}".encode()) % FOLDS for group in material.groups])


def measured(material: Material, refused: Flags, *, seed: int) -> dict[str, Interval]:
    """Return the share above the threshold of what is looked for, of harmless texts, and of each source of either."""
    values = {
        "caught": refused[material.positive],
        "benign_refused": refused[~material.positive],
        **{
            f"{'caught' if label else 'refused'}.{source}": refused[
                (material.positive == label) & (np.array(material.sources) == source)
            ]
            for source in sorted(set(material.sources))
            for label in (True, False)
        },
    }
    return {name: bootstrap(found.astype(float).tolist(), seed=seed) for name, found in values.items() if len(found)}
