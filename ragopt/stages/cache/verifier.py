"""Whether two questions ask the same: a cross-encoder of ours, the slot gate, and a few numbers that join the two."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from indexes.errors import ModelUnavailable
from indexes.model import file_sha256, read_json
from indexes.pair_model import PairModel
from ragopt.stages.cache.gate import Differences, differences

SHIPPED = Path(__file__).parents[2] / "data" / "verifier"
CALIBRATION = "calibration.json"
FEATURES = ("logit", "number", "names", "name")


@dataclass(frozen=True, slots=True)
class Calibration:
    """A logistic regression over the model's logit and how the slots differ. weights: by feature."""

    weights: Mapping[str, float]
    intercept: float

    def probability(self, logit: float, differ: Differences) -> float:
        """Return the chance, from 0 to 1, that the questions ask the same; 0 where the gate forbids."""
        if differ.forbid:
            return 0.0
        row = features(logit, differ)
        total = self.intercept + sum(self.weights.get(name, 0.0) * value for name, value in row.items())
        return 1 / (1 + math.exp(-max(-700.0, min(700.0, total))))


def features(logit: float, differ: Differences) -> dict[str, float]:
    """Return what the calibration weighs, by the names in `FEATURES`."""
    found = {"logit": logit, **{name: float(value) for name, value in asdict(differ).items()}}
    return {name: found[name] for name in FEATURES}


class Verifier:
    """The judge of cached questions; satisfies `SameQuestion`. `tag` names weights and calibration."""

    def __init__(self, model: PairModel, calibration: Calibration, *, tag: str) -> None:
        self.tag = tag
        self.engine = model.engine
        self._model = model
        self._calibration = calibration

    @classmethod
    def load(cls, folder: Path = SHIPPED, *, cache_folder: Path) -> Verifier:
        """Return the verifier of a folder, the one that ships unless told; blocking. Raises: `ModelUnavailable`."""
        calibration, tag = read_calibration(folder)
        model = PairModel.load(folder, cache_folder=cache_folder)
        return cls(model, calibration, tag=f"{model.card.tag}-{tag}")

    async def scores(self, asked: str, kept: Sequence[str]) -> Sequence[float]:
        """Return for each kept question, in order, the chance that it asks the same; 0 where the gate forbids.

        What the gate forbids costs no model. Raises: `ModelUnavailable`.
        """
        differ = [differences(asked, text) for text in kept]
        judged = [at for at, item in enumerate(differ) if not item.forbid]
        logits = await self._model.logits([(asked, kept[at]) for at in judged])
        found = [0.0] * len(kept)
        for at, logit in zip(judged, logits[:, 0].tolist(), strict=True):
            found[at] = self._calibration.probability(logit, differ[at])
        return found

    async def close(self) -> None:
        """End the model's worker."""
        await self._model.close()


def read_calibration(folder: Path) -> tuple[Calibration, str]:
    """Return the calibration in a model folder and 8 hex digits that name it. Raises: `ModelUnavailable`."""
    fields = read_json(folder / CALIBRATION)
    weights, intercept = fields.get("weights"), fields.get("intercept")
    if not isinstance(weights, dict) or not isinstance(intercept, int | float):
        raise ModelUnavailable(f"{folder / CALIBRATION}: weights or intercept is missing")
    if unknown := set(weights) - set(FEATURES):
        raise ModelUnavailable(f"{folder / CALIBRATION}: no such features: {sorted(unknown)}")
    return Calibration({name: float(weight) for name, weight in weights.items()}, float(intercept)), file_sha256(
        folder / CALIBRATION
    )[:8]


def calibration_to_json(calibration: Calibration) -> str:
    """Return the text of the file that `read_calibration` reads."""
    fields = {"weights": dict(calibration.weights), "intercept": calibration.intercept}
    return json.dumps(fields, indent=2) + "\n"
