"""Fitting the token projection: the algebra on small matrices, and the whole command on a small corpus."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from eval.__main__ import main
from eval.fit_tokens import sampled
from eval.token_fit import inverse_frequencies, itq_rotation, principal_axes, random_rotation
from indexes.model import SHIPPED_SHA256
from indexes.records import FloatMatrix
from indexes.tokens import SHIPPED_FILE, shipped_projection


def test_principal_axes_find_the_strongest_directions() -> None:
    """Vectors that vary along two axes give those two, the stronger first, with a positive largest entry."""
    rng = np.random.default_rng(0)
    vectors = np.zeros((500, 6), np.float32)
    vectors[:, 4] = rng.normal(0, 3, 500)
    vectors[:, 1] = rng.normal(0, 1, 500)
    matrix = principal_axes(vectors, bits=2, centred=False).matrix
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.T, np.eye(6)[[4, 1]], atol=0.02)


def test_only_a_centred_fit_subtracts_a_mean() -> None:
    """A constant offset is the first direction of an uncentred fit and the mean of a centred one."""
    vectors = np.random.default_rng(0).normal([5, 0, 0, 0], 0.1, (400, 4)).astype(np.float32)
    uncentred, centred = (principal_axes(vectors, bits=1, centred=flag) for flag in (False, True))
    assert not uncentred.mean.any()
    assert uncentred.matrix[0, 0] == pytest.approx(1, abs=0.01)
    assert centred.mean == pytest.approx(np.array([5, 0, 0, 0]), abs=0.05)


def test_rotations_keep_lengths() -> None:
    """A random and an ITQ rotation are orthogonal, and the same for the same seed."""
    rows = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    for rotation in (random_rotation(8, seed=1), itq_rotation(rows, seed=1)):
        assert np.allclose(rotation @ rotation.T, np.eye(8), atol=1e-5)
    assert np.array_equal(itq_rotation(rows, seed=1), itq_rotation(rows, seed=1))


def test_itq_loses_less_than_the_rotation_it_starts_from() -> None:
    """Rows on the corners of a turned cube lie nearer to their signs after ITQ than after a random rotation."""
    corners = np.sign(np.random.default_rng(0).normal(size=(300, 6))) / np.sqrt(6)
    rows = (corners @ random_rotation(6, seed=9)).astype(np.float32)

    def lost(rotation: FloatMatrix) -> float:
        turned = rows @ rotation
        return float(((np.sign(turned) / np.sqrt(6) - turned) ** 2).sum())

    assert lost(itq_rotation(rows, seed=1)) < 0.5 * lost(random_rotation(6, seed=1))


def test_rare_wordpieces_weigh_more() -> None:
    """Known values: in none, one and both of two texts; a wordpiece repeated in a text counts once."""
    weights = inverse_frequencies([[1, 2, 2], [2]], vocabulary=4)
    assert weights == pytest.approx([np.log(3 / 0.5), np.log(3 / 1.5), np.log(3 / 2.5), np.log(3 / 0.5)])


def test_a_sample_takes_at_most_half_of_a_small_corpus() -> None:
    """The small corpus gives half of its texts, the large one what is left; the seed decides which."""
    small, large = [f"s{n}" for n in range(10)], [f"l{n}" for n in range(1_000)]
    chosen = sampled([large, small], texts=100, seed=0)
    assert len(chosen) == len(set(chosen)) == 100
    assert sum(text.startswith("s") for text in chosen) == 5
    assert chosen == sampled([large, small], texts=100, seed=0) != sampled([large, small], texts=100, seed=1)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Return a data folder whose corpus holds forty short texts."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    rows = [{"id": str(n), "text": f"Text {n} speaks of rivers, of {n * 7} boats and the weather."} for n in range(40)]
    (folder / "corpus.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def test_the_command_writes_what_the_index_reads(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The arrays have their shapes and types, the directions are orthonormal, and the model is named."""
    out = tmp_path / "fit.npz"
    assert main(["fit-tokens", "--data", str(corpus), "--texts", "20", "--out", str(out), "--json"]) == 0
    with np.load(out, allow_pickle=False) as file:
        assert str(file["model_sha256"]) == SHIPPED_SHA256
        assert (file["projection"].shape, file["projection"].dtype) == ((384, 128), np.float32)
        assert (file["mean"].shape, file["idf"].shape) == ((384,), (30_522,))
        np.testing.assert_allclose(file["projection"].T @ file["projection"], np.eye(128), atol=1e-4)
    report = json.loads(capsys.readouterr().out)
    assert report["n"] == 20
    assert report["metrics"]["texts_counted"]["value"] == 40


def test_too_few_texts_are_refused(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fewer token vectors than directions is one clear line and exit code 1, and writes nothing."""
    out = tmp_path / "fit.npz"
    assert main(["fit-tokens", "--data", str(corpus), "--texts", "2", "--out", str(out)]) == 1
    assert "too few" in capsys.readouterr().err
    assert not out.exists()


def test_the_file_that_ships_fits_the_model_that_ships() -> None:
    """It is small, its directions are orthonormal, and frequent wordpieces weigh less than rare ones."""
    assert SHIPPED_FILE.stat().st_size < 400_000
    fitted = shipped_projection(SHIPPED_SHA256, 384)
    assert fitted.name.startswith("fitted-")
    np.testing.assert_allclose(fitted.matrix.T @ fitted.matrix, np.eye(128), atol=1e-4)
    the, harbour = 1996, 6496
    assert fitted.idf[the] < 0.2 < 3 < fitted.idf[harbour]
