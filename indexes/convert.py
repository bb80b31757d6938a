"""`python -m indexes.convert MODEL_FOLDER TARGET_FOLDER`: writes model.xml and model.bin for OpenVINO."""

from __future__ import annotations

import sys
from pathlib import Path

import openvino
import torch

from indexes.model import loaded_transformer


class LastHiddenState(torch.nn.Module):
    """A transformer whose forward takes two tensors and returns one, as tracing needs."""

    def __init__(self, transformer: torch.nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the last hidden state, float32 [batch, tokens, hidden]."""
        output = self.transformer(input_ids=input_ids, attention_mask=attention_mask)
        hidden: torch.Tensor = output.last_hidden_state
        return hidden


def convert(folder: Path, target: Path) -> None:
    """Write `target/model.xml` and `model.bin`: float32, both dimensions of the input free."""
    # Eager attention traces to plain matrix products, which OpenVINO fuses itself.
    transformer = loaded_transformer(folder, attn_implementation="eager")
    example = {name: torch.ones(2, 9, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    free = [(name, [-1, -1], openvino.Type.i64) for name in example]
    model = openvino.convert_model(LastHiddenState(transformer), example_input=example, input=free)
    openvino.save_model(model, target / "model.xml", compress_to_fp16=False)


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
