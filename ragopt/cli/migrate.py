"""`ragopt migrate`: an embedded data dir to the servers that the settings name."""

from __future__ import annotations

import argparse
import asyncio
from dataclasses import asdict
from functools import partial

from tqdm import tqdm

from indexes.edge import EdgeEngine
from indexes.endpoint import is_served
from indexes.migrate import MigratedStore, copy_collections
from indexes.model import model_files, vector_size
from indexes.qdrant import QdrantEngine
from indexes.served_embedding import ServedEmbedder
from ragopt.cli.arguments import add_data_dir, add_json
from ragopt.cli.terminal import say, say_json
from ragopt.config import Settings, load_settings, runtime_dir
from ragopt.errors import ConfigError
from ragopt.state.client import connect
from ragopt.state.data_dir import DataDirLock
from ragopt.state.redis_server import EmbeddedRedis
from ragopt.state.transfer import copy_state
from ragopt.wiring import INDEX_FOLDER, QDRANT_TIMEOUT_S, REDIS_FOLDER

EXAMPLE = "ragopt migrate --data-dir .ragopt"
# A key may be large, and the other Redis far.
REDIS_TIMEOUT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data_dir(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Copy the index, the state or both, whichever the settings name a server for. The data dir is left as it is."""
    settings = load_settings(data_dir=arguments.data_dir)
    if not settings.qdrant_url and not settings.redis_url:
        raise ConfigError("set RAGOPT_QDRANT_URL, RAGOPT_REDIS_URL or both: they say where to migrate to")
    if not settings.data_dir.is_dir():
        raise ConfigError(f"RAGOPT_DATA_DIR: there is no folder {settings.data_dir}")
    with DataDirLock(settings.data_dir):
        stores = asyncio.run(migrated_index(settings)) if settings.qdrant_url else []
        keys = asyncio.run(migrated_state(settings)) if settings.redis_url else (0, 0)
    report(stores, keys, as_json=arguments.json)
    return 0


async def migrated_index(settings: Settings) -> list[MigratedStore]:
    """Return the collections copied to the Qdrant server. Raises: `SettingsMismatch`, `StoreUnavailable`."""
    dim = await dense_size(settings)
    source = EdgeEngine(settings.data_dir / INDEX_FOLDER)
    target = QdrantEngine(settings.qdrant_url or "", settings.qdrant_api_key, timeout_s=QDRANT_TIMEOUT_S)
    try:
        with tqdm(unit="point", desc="index", dynamic_ncols=True) as bar:
            return await copy_collections(source, target, dim=dim, copied=partial(moved_on, bar))
    finally:
        await source.close()
        await target.close()


async def dense_size(settings: Settings) -> int:
    """Return how many numbers a dense vector has. Raises: `ModelUnavailable`."""
    if not is_served(settings.embedding_model):
        return vector_size(model_files(settings.embedding_model))
    embedder = await ServedEmbedder.load(settings.embedding_model, settings.embedding_api_key)
    await embedder.close()
    return embedder.dim


def moved_on(bar: tqdm[None], name: str, points: int) -> None:
    """Move the bar on by points of one collection."""
    bar.set_postfix_str(name, refresh=False)
    bar.update(points)


async def migrated_state(settings: Settings) -> tuple[int, int]:
    """Return how many Redis keys were copied and how many were there. Raises: `StateUnavailable`."""
    folder = settings.data_dir / REDIS_FOLDER
    embedded = await asyncio.to_thread(EmbeddedRedis.attach, folder, runtime_dir=runtime_dir())
    source = connect(embedded.url, timeout_s=REDIS_TIMEOUT_S)
    target = connect(settings.redis_url or "", timeout_s=REDIS_TIMEOUT_S)
    try:
        with tqdm(unit="key", desc="state", dynamic_ncols=True) as bar:
            return await copy_state(source, target, copied=bar.update)
    finally:
        await source.aclose()
        await target.aclose()
        await asyncio.to_thread(embedded.stop)


def report(stores: list[MigratedStore], keys: tuple[int, int], *, as_json: bool) -> None:
    """Print what was copied."""
    copied, there = keys
    if as_json:
        say_json({"collections": [asdict(store) for store in stores], "keys_copied": copied, "keys_there": there})
        return
    points = sum(store.points for store in stores)
    say(f"{len(stores)} collections with {points} points; {copied} keys copied, {there} were there already")
