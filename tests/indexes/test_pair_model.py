"""A pair model from training to the folder that ships and back, on a small one."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import numpy as np
import openvino
import pytest

from eval.pairs.export import int8_rows
from eval.pairs.network import PairNetwork
from eval.pairs.training import logits_of
from indexes.compiled import numbers_of, widened
from indexes.errors import ModelUnavailable
from indexes.pair_model import BATCH_PAIRS, PairModel, alike
from ragopt.stages.cache.verifier import SHIPPED
from tests.eval.pairs.tiny import PAIRS, tiny_pair_model

Exported = tuple[Path, PairNetwork]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Return the folder of a small trained model, and the network in it."""
    folder = tmp_path_factory.mktemp("pairs") / "model"
    return folder, tiny_pair_model(folder)


def test_the_folder_scores_as_the_network(exported: Exported, tmp_path: Path) -> None:
    """Through int8 weights and OpenVINO the logits stay what torch says, in order, in whatever batch."""
    folder, network = exported
    model = PairModel.load(folder, cache_folder=tmp_path)
    expected = logits_of(network, PAIRS, max_tokens=32)
    pairs = [(pair.a, pair.b) for pair in PAIRS]

    async def scored() -> None:
        found = await model.logits(pairs)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=0.05 * float(np.ptp(expected)))
        alone = np.stack([(await model.logits([pair]))[0] for pair in pairs[:5]])
        np.testing.assert_allclose(found[:5], alone, atol=0.03 * float(np.ptp(expected)))
        assert (await model.logits([])).shape == (0, 1)
        await model.close()

    asyncio.run(scored())


def test_matrices_are_int8(exported: Exported) -> None:
    """The weights take about one byte a number."""
    folder, network = exported
    numbers = sum(weights.numel() for weights in network.parameters())
    assert numbers < (folder / "model.bin").stat().st_size < 1.2 * numbers
    values = np.random.default_rng(0).normal(size=(9, 50)).astype(np.float32)
    values[3] = 0
    rows, scale = int8_rows(values)
    assert np.abs(rows * scale - values).max() <= np.abs(values).max() / 127 / 2 + 1e-6


def test_widened_matrices_are_the_numbers_that_int8_stands_for() -> None:
    """No product reads int8 any more, the tables still do, and in float32 the logits are the same."""
    core = openvino.Core()
    ids = np.arange(1000, 1018).reshape(2, 9)
    inputs = [ids, np.ones_like(ids), np.zeros_like(ids)]
    logits = []
    for widen in (False, True):
        model = core.read_model(SHIPPED / "model.xml")
        model = widened(model) if widen else model
        products = [node for node in model.get_ops() if node.get_type_name() == "MatMul"]
        scaled = [node for node in products if numbers_of(node.input_value(1).get_node()) is not None]
        assert bool(scaled) is not widen
        assert any(node.get_element_type() == openvino.Type.i8 for node in model.get_ops())
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        logits.append(np.array(compiled(inputs)[0]))
    np.testing.assert_allclose(logits[0], logits[1], atol=0.02 * float(np.abs(logits[0]).max()))


def test_a_damaged_folder_is_refused(exported: Exported, tmp_path: Path) -> None:
    """Weights of another checksum, a missing file, another tokenizer and a card without labels are each named."""
    folder = tmp_path / "model"
    shutil.copytree(exported[0], folder)
    card = json.loads((folder / "model.json").read_text())

    def refused(match: str) -> None:
        with pytest.raises(ModelUnavailable, match=match):
            PairModel.load(folder, cache_folder=tmp_path)

    weights = (folder / "model.bin").read_bytes()
    (folder / "model.bin").write_bytes(weights[:-1] + b"!")
    refused("model.bin has sha256 .* damaged or another version")
    (folder / "model.bin").unlink()
    refused("model.bin is missing")
    (folder / "model.bin").write_bytes(weights)
    (folder / "model.json").write_text(json.dumps({**card, "tokenizer_sha256": "0"}))
    refused("tokenizer.json has sha256")
    (folder / "model.json").write_text(json.dumps({**card, "labels": None}))
    refused("labels, max_tokens or tokenizer_sha256 is missing")


def test_a_machine_that_cannot_run_it_says_so(exported: Exported, tmp_path: Path) -> None:
    """Where OpenVINO fails there is a clear error, not torch: a cache folder that is a file stands for it."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(ModelUnavailable, match="OpenVINO cannot run the model"):
        PairModel.load(exported[0], cache_folder=blocked)


def test_batches_hold_every_pair_once() -> None:
    """Batches are short, of like length, and together every pair; few pairs are shared out all the same."""
    pairs = [("x" * (7 * number % 23), "y") for number in range(2 * BATCH_PAIRS + 3)]
    batches = alike(pairs, parts=2)
    assert [len(batch) for batch in batches] == [BATCH_PAIRS, BATCH_PAIRS, 3]
    lengths = [len(pairs[at][0]) for batch in batches for at in batch]
    assert lengths == sorted(lengths)
    assert sorted(at for batch in batches for at in batch) == list(range(len(pairs)))
    assert [len(batch) for batch in alike(pairs[:3], parts=2)] == [2, 1]
    assert [len(batch) for batch in alike(pairs[:1], parts=2)] == [1]
    assert alike([], parts=2) == []
