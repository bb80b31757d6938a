"""The verifier: a small trained model behind the gate, and how its numbers join."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from indexes.errors import ModelUnavailable
from indexes.pair_model import PairModel
from ragopt.stages.cache.gate import Differences, differences
from ragopt.stages.cache.verifier import CALIBRATION, Calibration, Verifier, calibration_to_json, features
from tests.eval.pairs.tiny import tiny_pair_model

SAME = Differences(numbers=False, number=False, names=False, name=False, negation=False, direction=False)
CALIBRATION_FITTED = Calibration({"logit": 1.0, "number": -1.0, "names": -2.0, "name": -0.5}, -0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small verifier."""
    folder = tmp_path_factory.mktemp("verifier") / "model"
    tiny_pair_model(folder)
    (folder / CALIBRATION).write_text(calibration_to_json(CALIBRATION_FITTED))
    return folder


def test_scores_are_chances_in_order(folder: Path, tmp_path: Path) -> None:
    """Each score is that of its own pair, from 0 to 1, and 0 where the gate forbids."""
    verifier = Verifier.load(folder, cache_folder=tmp_path)
    asked = "a red door in 1950"
    kept = ["the red wall", "the blue wall in 1960", "the blue wall", "the red wall"]

    async def scored() -> None:
        scores = await verifier.scores(asked, kept)
        assert scores[1] == 0.0
        assert scores[0] == pytest.approx(scores[3], abs=1e-3)
        assert all(0 < scores[at] < 1 for at in (0, 2, 3))
        assert scores[2] == pytest.approx((await verifier.scores(asked, ["the blue wall"]))[0], abs=0.02)
        assert list(await verifier.scores(asked, [])) == []
        await verifier.close()

    asyncio.run(scored())


def test_the_tag_names_weights_and_calibration(folder: Path, tmp_path: Path) -> None:
    """Labels learned with one judge never count for another: a new calibration is another judge."""
    before = Verifier.load(folder, cache_folder=tmp_path).tag
    assert before.startswith(PairModel.load(folder, cache_folder=tmp_path).card.tag)
    text = (folder / CALIBRATION).read_text()
    (folder / CALIBRATION).write_text(calibration_to_json(Calibration({"logit": 2.0}, 0.0)))
    after = Verifier.load(folder, cache_folder=tmp_path).tag
    (folder / CALIBRATION).write_text(text)
    assert before != after == after.strip()


def test_what_differs_counts_against() -> None:
    """A missing name or number lowers the chance; a forbidden pair has none; extremes stay chances."""
    plain = CALIBRATION_FITTED.probability(2.0, SAME)
    for one, other in (("tea in Japan", "tea"), ("tea in 2016", "tea"), ("why it works", "why it does not work")):
        assert CALIBRATION_FITTED.probability(2.0, differences(one, other)) < plain
    assert CALIBRATION_FITTED.probability(9.0, differences("tea in 2016", "tea in 2017")) == 0.0
    assert CALIBRATION_FITTED.probability(1e9, SAME) == pytest.approx(1.0)
    assert CALIBRATION_FITTED.probability(-1e9, SAME) == pytest.approx(0.0)
    assert list(features(0.5, SAME)) == ["logit", "number", "names", "name"]


def test_a_calibration_that_is_none_is_refused(folder: Path, tmp_path: Path) -> None:
    """Missing fields, unknown features and a missing folder are named."""
    text = (folder / CALIBRATION).read_text()
    for fields, match in (({"weights": {}}, "intercept is missing"), ({"weights": {"x": 1}, "intercept": 0}, "'x'")):
        (folder / CALIBRATION).write_text(json.dumps(fields))
        with pytest.raises(ModelUnavailable, match=match):
            Verifier.load(folder, cache_folder=tmp_path)
    (folder / CALIBRATION).write_text(text)
    with pytest.raises(ModelUnavailable, match="nowhere"):
        Verifier.load(tmp_path / "nowhere", cache_folder=tmp_path)
