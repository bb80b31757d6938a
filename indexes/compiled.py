"""A model in OpenVINO's format on the CPU: its precision, the calls that run side by side, the shapes that it sees."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from openvino import InferRequest, Model, Node

IdMatrix: TypeAlias = NDArray[np.int64]

# The shapes that batches are padded to: rows up to 8, of more the next multiple of 8; tokens in steps of 16.
ROW_RUNGS = (1, 2, 4, 8)
FEWEST_TOKENS, TOKEN_STEP = 32, 16
# Calls of a small model side by side; each has room of its own.
MOST_AT_ONCE = 16


class CompiledModel:
    """A converted model on OpenVINO: bfloat16 where the processor has it, else float32.

    inputs: how many matrices it takes. They are padded to few shapes: OpenVINO prepares its kernels anew for a shape
    that it has not seen, in some 10 ms, and takes 2 to 3 ms to go from one that it knows to another.
    at_once: how many calls run side by side; they share the cores evenly. int8: whether the file holds matrices so.
    Where the processor has bfloat16 they are multiplied as such all the same: in two thirds of the time, for 40 MB.
    """

    def __init__(self, model: Path, cache_folder: Path, *, at_once: int = 1, int8: bool = False) -> None:
        import openvino

        core = openvino.Core()
        fast = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        self.engine = f"openvino-{'bf16' if fast else 'f32'}"
        settings = {
            "INFERENCE_PRECISION_HINT": "bf16" if fast else "f32",
            "PERFORMANCE_HINT": "LATENCY" if at_once == 1 else "THROUGHPUT",
            "NUM_STREAMS": at_once,
            "CACHE_DIR": str(cache_folder / "compiled"),
        }
        source = widened(core.read_model(str(model))) if int8 and fast else str(model)
        compiled = core.compile_model(source, "CPU", settings)
        self.at_once = at_once
        self.inputs = len(compiled.inputs)
        self._idle: SimpleQueue[InferRequest] = SimpleQueue()
        for _ in range(at_once):
            self._idle.put(compiled.create_infer_request())

    def run(self, ids: IdMatrix, mask: IdMatrix, *others: IdMatrix) -> NDArray[np.float32]:
        """Return the model's only output as float32 for matrices [batch, tokens]; a call beyond `at_once` waits."""
        rows, width = ids.shape
        shape = ladder_shape(rows, width)
        mask = on_rung(mask, shape)
        # A row that is all padding would have nothing to attend to.
        mask[rows:, 0] = 1
        inputs = [on_rung(ids, shape), mask, *(on_rung(other, shape) for other in others)]
        request = self._idle.get()
        try:
            output = np.array(request.infer(inputs)[0], np.float32)[:rows]
        finally:
            self._idle.put(request)
        # The hidden states have a vector for each token; logits have no width to cut.
        return output[:, :width] if output.ndim == 3 else output


def cores() -> int:
    """Return on how many cores this process may run, 16 at most.

    A small model runs on one core per call: a question of 32 tokens takes 2.3 ms on one and 2.0 on two, where two are
    idle, and far longer on two where the other one is at work.
    """
    return min(MOST_AT_ONCE, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


def ladder_shape(rows: int, width: int) -> tuple[int, int]:
    """Return the shape to which matrices of so many rows and tokens are padded.

    A question of up to 32 tokens has the same as every other one. Rows: 1, 2, 4, multiples of 8; tokens: 32, then
    multiples of 16.
    """
    rung = next((step for step in ROW_RUNGS if rows <= step), -(-rows // ROW_RUNGS[-1]) * ROW_RUNGS[-1])
    return rung, max(FEWEST_TOKENS, -(-width // TOKEN_STEP) * TOKEN_STEP)


def on_rung(matrix: IdMatrix, shape: tuple[int, int]) -> IdMatrix:
    """Return a zero padded copy of a matrix in a shape that holds it."""
    padded_matrix = np.zeros(shape, np.int64)
    padded_matrix[: matrix.shape[0], : matrix.shape[1]] = matrix
    return padded_matrix


def widened(model: Model) -> Model:
    """Return the model with every int8 matrix of a product as the float32 numbers that it stands for, in place.

    Look-up tables stay as they are: they are large, and reading a row of them takes no time.
    """
    from openvino import opset13

    for product in model.get_ordered_ops():
        if product.get_type_name() == "MatMul":
            scaled = product.input_value(1).get_node()
            values = numbers_of(scaled)
            if values is not None:
                product.input(1).replace_source_output(opset13.constant(values).output(0))
    return model


def numbers_of(scaled: Node) -> NDArray[np.float32] | None:
    """Return the float32 matrix that a node computes from int8 numbers and one number a row; None for other nodes."""
    if scaled.get_type_name() != "Multiply":
        return None
    whole, scale = (scaled.input_value(at).get_node() for at in range(2))
    if whole.get_type_name() != "Convert" or scale.get_type_name() != "Constant":
        return None
    rows = whole.input_value(0).get_node()
    if rows.get_type_name() != "Constant":
        return None
    return np.asarray(rows.data, np.float32) * np.asarray(scale.data, np.float32)
