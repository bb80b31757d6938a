"""Tests of the shapes that a compiled model runs at."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from indexes.compiled import IdMatrix, cores, ladder_shape
from indexes.model import HiddenStates, OpenVinoForward, load_forward, model_files


@pytest.fixture(scope="module")
def forward(tmp_path_factory: pytest.TempPathFactory) -> OpenVinoForward:
    """The model that ships, on OpenVINO."""
    loaded = load_forward(model_files(""), tmp_path_factory.mktemp("models"))
    assert isinstance(loaded, OpenVinoForward)
    return loaded


@pytest.mark.parametrize(
    ("rows", "width", "shape"),
    [(1, 1, (1, 32)), (1, 32, (1, 32)), (1, 33, (1, 48)), (3, 100, (4, 112)), (5, 16, (8, 32)), (9, 512, (16, 512))],
)
def test_a_batch_goes_up_to_the_next_rung(rows: int, width: int, shape: tuple[int, int]) -> None:
    """Few shapes, and the questions of everyday length have one."""
    assert ladder_shape(rows, width) == shape


def test_padding_changes_no_answer(forward: OpenVinoForward) -> None:
    """Three short texts run as four long ones give what each gives alone, in the caller's own shape."""
    rng = np.random.default_rng(0)
    ids = rng.integers(1000, 20_000, (3, 19))
    mask = np.ones_like(ids)
    mask[1, 7:] = 0
    together = forward.hidden(ids, mask)
    assert together.shape[:2] == (3, 19)
    for row in range(3):
        alone = forward.hidden(ids[row : row + 1], mask[row : row + 1])[0]
        seen = mask[row] == 1
        assert np.isfinite(together[row]).all()
        cosines = (together[row] * alone).sum(1) / np.linalg.norm(together[row], axis=1) / np.linalg.norm(alone, axis=1)
        assert cosines[seen].min() > 0.995


def test_the_callers_matrices_stay_as_they_are(forward: OpenVinoForward) -> None:
    """Padding works on copies, also where the shape is a rung already."""
    ids = np.full((1, 32), 2000, np.int64)
    mask = np.ones_like(ids)
    mask[0, 10:] = 0
    before = ids.copy(), mask.copy()
    forward.hidden(ids, mask)
    np.testing.assert_array_equal(ids, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_calls_at_once_give_what_they_give_one_by_one(forward: OpenVinoForward) -> None:
    """Every core has a call of its own, and each caller gets the vectors of its own text."""
    assert forward.at_once == cores() >= 1
    rng = np.random.default_rng(1)
    texts = [rng.integers(1000, 20_000, (1, 5 + number % 40)) for number in range(48)]

    def hidden(ids: IdMatrix) -> HiddenStates:
        return forward.hidden(ids, np.ones_like(ids))

    alone = [hidden(ids) for ids in texts]
    with ThreadPoolExecutor(3 * forward.at_once) as callers:
        together = list(callers.map(hidden, texts))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
