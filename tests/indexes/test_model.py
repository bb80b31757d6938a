"""Tests of the shapes that a compiled model runs at."""

from __future__ import annotations

import numpy as np
import pytest

from indexes.model import OpenVinoForward, ladder_shape, load_forward, model_files


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
