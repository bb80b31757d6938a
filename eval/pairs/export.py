"""A trained pair classifier to the folder that ships: OpenVINO's format with int8 weights, and its card."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import opset13

from eval.errors import EvaluationError
from eval.pairs.network import PairNetwork
from eval.pairs.values import Recipe
from indexes.model import file_sha256, shipped_folder
from indexes.pair_model import CARD

LARGEST_INT8 = 127
# Smaller matrices than this stay float32: they are no size.
SMALLEST_MATRIX = 4_096
MAX_BYTES = 25_000_000


def export(network: PairNetwork, folder: Path, *, recipe: Recipe, trained_on: Mapping[str, str]) -> None:
    """Write model.xml, model.bin and model.json into `folder`, made if need be.

    Raises: `EvaluationError` if that is over 25 MB.
    """
    folder.mkdir(parents=True, exist_ok=True)
    example = tuple(torch.ones(2, 9, dtype=torch.int64) for _ in range(3))
    free = [([-1, -1], openvino.Type.i64) for _ in range(3)]
    with warnings.catch_warnings():
        # OpenVINO's frontend uses what torch and transformers are about to give up, and says so on every call.
        warnings.simplefilter("ignore")
        model = openvino.convert_model(network.eval(), example_input=example, input=free)
    squeeze_weights(model)
    openvino.save_model(model, folder / "model.xml", compress_to_fp16=False)
    size = sum((folder / name).stat().st_size for name in ("model.xml", "model.bin"))
    if size > MAX_BYTES:
        raise EvaluationError(f"{folder}: {size} bytes, at most {MAX_BYTES} may ship")
    card = {
        "labels": list(recipe.labels),
        "max_tokens": recipe.max_tokens,
        "tokenizer_sha256": file_sha256(shipped_folder() / "tokenizer.json"),
        "sha256": {name: file_sha256(folder / name) for name in ("model.bin", "model.xml")},
        "trained_on": dict(trained_on),
    }
    (folder / CARD).write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def squeeze_weights(model: openvino.Model) -> None:
    """Replace every float32 matrix of some size by int8 times one float32 per row, in place.

    OpenVINO's CPU plugin fuses the two into the product or the look-up that reads the matrix.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() != "Constant" or node.get_element_type() != openvino.Type.f32:
            continue
        values = np.asarray(node.data, np.float32)
        if values.ndim != 2 or values.size < SMALLEST_MATRIX:
            continue
        rows, scale = int8_rows(values)
        whole = opset13.convert(opset13.constant(rows, openvino.Type.i8), "f32")
        scaled = opset13.multiply(whole, opset13.constant(scale, openvino.Type.f32))
        for reader in node.output(0).get_target_inputs():
            reader.replace_source_output(scaled.output(0))


def int8_rows(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Return int8 [rows, columns] and float32 [rows, 1] whose product is nearest to the matrix; rows of 0 stay 0."""
    scale = np.abs(matrix).max(axis=1, keepdims=True) / LARGEST_INT8
    rows = np.rint(matrix / np.where(scale > 0, scale, 1)).astype(np.int8)
    return rows, scale.astype(np.float32)
