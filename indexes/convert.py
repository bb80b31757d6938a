"""`python -m indexes.convert MODEL_FOLDER TARGET_FOLDER HEAD`: writes model.xml and model.bin for OpenVINO.

HEAD is `hidden` for the hidden states of an embedding model, `logits` for those of a classifier.
"""

from __future__ import annotations

import sys
from pathlib import Path

import openvino
import torch

from indexes.classifier import input_names, loaded_classifier
from indexes.model import loaded_transformer

# Eager attention traces to plain matrix products, which OpenVINO fuses itself.
ATTENTION = "eager"


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


class Logits(torch.nn.Module):
    """A classifier whose forward takes ids, mask and, if it knows them, types, and returns one tensor."""

    def __init__(self, classifier: torch.nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.classifier = classifier
        self.names = names

    def forward(self, *matrices: torch.Tensor) -> torch.Tensor:
        """Return the logits, float32 [batch, 1]."""
        logits: torch.Tensor = self.classifier(**dict(zip(self.names, matrices, strict=True))).logits
        return logits


def convert(folder: Path, target: Path, *, head: str) -> None:
    """Write `target/model.xml` and `model.bin`: float32, both dimensions of each input free."""
    model: torch.nn.Module
    if head == "logits":
        classifier = loaded_classifier(folder, attn_implementation=ATTENTION)
        names = input_names(classifier)
        model = Logits(classifier, names)
    else:
        names = ("input_ids", "attention_mask")
        model = LastHiddenState(loaded_transformer(folder, attn_implementation=ATTENTION))
    example = tuple(torch.ones(2, 9, dtype=torch.int64) for _ in names)
    free = [([-1, -1], openvino.Type.i64) for _ in names]
    openvino.save_model(
        openvino.convert_model(model, example_input=example, input=free), target / "model.xml", compress_to_fp16=False
    )


if __name__ == "__main__":
    convert(Path(sys.argv[1]), Path(sys.argv[2]), head=sys.argv[3])
