"""Which reranker a machine has: what the setting names, else a cross-encoder that is already there, else none."""

from __future__ import annotations

from pathlib import Path

from indexes.errors import ModelUnavailable
from indexes.model import require_files

SETTING = "RAGOPT_RERANK_MODEL"
LATE_INTERACTION = "late-interaction"
CACHED_MODEL = "cross-encoder/ms-marco-MiniLM-L6-v2"


def chosen_model(named: str, hub_cache: Path) -> str:
    """Return `late-interaction`, or the URL, hub id or folder of the cross-encoder that judges after it.

    `named` is the setting; "" takes `CACHED_MODEL` from the hub's cache if it is whole there, without
    a call over the network, else late interaction alone.
    """
    return named or str(cached_folder(hub_cache) or LATE_INTERACTION)


def cached_folder(hub_cache: Path) -> Path | None:
    """Return where `CACHED_MODEL` lies in the hub's cache, None if it or a file it needs is not there."""
    # Looked at first because importing the hub's library takes longer than most starts can spare.
    if not (hub_cache / f"models--{CACHED_MODEL.replace('/', '--')}").is_dir():
        return None
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = Path(snapshot_download(CACHED_MODEL, cache_dir=hub_cache, local_files_only=True))
        require_files(folder, "model.safetensors", "tokenizer.json", "config.json", setting=SETTING)
    except (LocalEntryNotFoundError, ModelUnavailable):
        return None
    return folder
