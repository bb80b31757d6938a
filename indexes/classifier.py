"""A classifier of text pairs on disk, one logit per pair, and how to run it: OpenVINO on CPU, torch where that cannot.

Any folder that `sentence_transformers.CrossEncoder` loads will do, if it is a transformer with a
sequence classification head of one label and weights in one `model.safetensors`.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from indexes.compiled import CompiledModel, IdMatrix
from indexes.errors import ModelUnavailable
from indexes.model import (
    converted,
    fast_tokenizer,
    file_sha256,
    named_folder,
    read_json,
    read_list,
    require_files,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Logits: TypeAlias = NDArray[np.float32]

DEFAULT_MAX_TOKENS = 512

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClassifierFiles:
    """A model folder that was checked: whose weights they are, and how long a pair may be."""

    folder: Path
    sha256: str
    max_tokens: int

    def tokenizer(self) -> Tokenizer:
        """Return the fast tokenizer; of a pair that is too long it cuts the longer text."""
        return fast_tokenizer(self.folder, max_tokens=self.max_tokens)


class PairForward(Protocol):
    """A loaded classifier."""

    engine: str

    def logits(self, ids: IdMatrix, mask: IdMatrix, types: IdMatrix) -> Logits:
        """Return float32 [batch] for int64 [batch, tokens] each; one call at a time."""


def classifier_files(model: str, *, setting: str) -> ClassifierFiles:
    """Return the checked files of a folder or of a hub id.

    Raises: `ModelUnavailable` naming `setting` if files are missing, or the model is anything but a
    sequence classifier with one label.
    """
    folder = named_folder(model, setting=setting)
    require_files(folder, "model.safetensors", "tokenizer.json", "config.json", setting=setting)
    config = read_json(folder / "config.json")
    kinds, labels = config.get("architectures"), config.get("id2label")
    if not isinstance(kinds, list) or not str(kinds[:1]).endswith("ForSequenceClassification']"):
        raise ModelUnavailable(f"{setting}: {folder}: {kinds} is no sequence classifier")
    if not isinstance(labels, dict) or len(labels) != 1:
        raise ModelUnavailable(f"{setting}: {folder}: a cross-encoder with one label is needed")
    if (folder / "modules.json").is_file() and len(read_list(folder / "modules.json")) != 1:
        raise ModelUnavailable(f"{setting}: {folder}: layers beyond the transformer are not supported")
    return ClassifierFiles(folder, file_sha256(folder / "model.safetensors"), max_tokens_of(folder))


def max_tokens_of(folder: Path) -> int:
    """Return how many tokens a pair may have: the least of what the model's files say, 512 if they say nothing."""
    names = {"config": "max_position_embeddings", "tokenizer_config": "model_max_length"}
    names["sentence_bert_config"] = "max_seq_length"
    limits = [
        read_json(folder / f"{file}.json").get(field)
        for file, field in names.items()
        if (folder / f"{file}.json").is_file()
    ]
    return int(min((limit for limit in limits if isinstance(limit, int | float)), default=DEFAULT_MAX_TOKENS))


def load_classifier(files: ClassifierFiles, cache_folder: Path) -> PairForward:
    """Return the model compiled by OpenVINO, converted first if the cache has it not; by torch if OpenVINO cannot."""
    try:
        return OpenVinoClassifier(converted(files.folder, files.sha256, cache_folder, head="logits"), cache_folder)
    except (ImportError, RuntimeError, OSError) as error:
        logger.warning("OpenVINO cannot run the cross-encoder, torch does: %s", error)
        return TorchClassifier(files.folder)


class OpenVinoClassifier:
    """The model on OpenVINO."""

    def __init__(self, model: Path, cache_folder: Path) -> None:
        self._compiled = CompiledModel(model, cache_folder)
        self.engine = self._compiled.engine

    def logits(self, ids: IdMatrix, mask: IdMatrix, types: IdMatrix) -> Logits:
        """Return float32 [batch]."""
        return self._compiled.run(*(ids, mask, types)[: self._compiled.inputs])[:, 0]


class TorchClassifier:
    """The model on torch, through sentence-transformers."""

    engine = "torch-f32"

    def __init__(self, folder: Path) -> None:
        self._model = loaded_classifier(folder)
        self._inputs = input_names(self._model)

    def logits(self, ids: IdMatrix, mask: IdMatrix, types: IdMatrix) -> Logits:
        """Return float32 [batch]."""
        import torch

        matrices = {
            name: torch.from_numpy(value) for name, value in zip(self._inputs, (ids, mask, types), strict=False)
        }
        with torch.inference_mode():
            return np.asarray(self._model(**matrices).logits[:, 0].float().numpy(), np.float32)


def loaded_classifier(folder: Path, **options: str) -> PreTrainedModel:
    """Return the torch module of a cross-encoder folder, on the CPU, in evaluation mode.

    `options` go to the transformer. Raises: `ModelUnavailable` if the folder holds no transformer.
    """
    from sentence_transformers import CrossEncoder

    model: PreTrainedModel | None = CrossEncoder(str(folder), device="cpu", model_kwargs=options).model
    if model is None:
        raise ModelUnavailable(f"{folder} holds no transformer")
    return model


def input_names(model: PreTrainedModel) -> tuple[str, ...]:
    """Return the names of the matrices a model takes, in the order of `PairForward.logits`."""
    named = ("input_ids", "attention_mask")
    # RoBERTa's kind has one type alone, DistilBERT's and ModernBERT's take none.
    typed = "token_type_ids" in inspect.signature(model.forward).parameters
    return (*named, "token_type_ids") if typed and getattr(model.config, "type_vocab_size", 0) > 1 else named


def padded_pairs(encodings: Sequence[Encoding]) -> tuple[IdMatrix, IdMatrix, IdMatrix]:
    """Return ids, mask and types, int64 [batch, longest], zero padded."""
    width = max(len(encoding.ids) for encoding in encodings)
    ids, mask, types = (np.zeros((len(encodings), width), np.int64) for _ in range(3))
    for row, encoding in enumerate(encodings):
        length = len(encoding.ids)
        ids[row, :length], mask[row, :length], types[row, :length] = encoding.ids, 1, encoding.type_ids
    return ids, mask, types
