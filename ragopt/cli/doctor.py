"""`ragopt doctor`: what works on this machine, checked by trying it."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import SecretStr

from indexes.classifier import classifier_files
from indexes.endpoint import is_served, shown_address
from indexes.errors import IndexingError
from indexes.model import model_files
from indexes.qdrant import QdrantEngine
from indexes.served_embedding import ServedEmbedder
from ragopt.cli.arguments import add_data_dir, add_json
from ragopt.cli.terminal import say, say_json
from ragopt.config import Settings, configured_address, configured_key, hub_cache_dir, load_settings
from ragopt.errors import ConfigError, RagoptError
from ragopt.privacy.presidio import PresidioRecogniser
from ragopt.settings.models import ModelSettings
from ragopt.settings.privacy import PrivacySettings
from ragopt.stages.rerank.choice import LATE_INTERACTION, chosen_model
from ragopt.stages.rerank.choice import SETTING as RERANK_SETTING
from ragopt.stages.rerank.served import ServedCrossEncoder
from ragopt.state.access import redis_errors
from ragopt.state.client import connect
from ragopt.state.data_dir import read_running
from ragopt.state.redis_process import find_binary
from ragopt.tokens import count_tokens

EXAMPLE = "ragopt doctor"
PYTHONS = ((3, 11), (3, 12))
REMOTE_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried. Without what is `needed`, the service does not start."""

    name: str
    ok: bool
    detail: str
    needed: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_data_dir(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print what works; exit code 1 if something needed does not."""
    settings = load_settings(data_dir=arguments.data_dir)
    checks = []
    for check in all_checks(settings):
        checks.append(check)
        if not arguments.json:
            say(f"{'✓' if check.ok else '✗'} {check.name}: {check.detail}")
    broken = any(check.needed and not check.ok for check in checks)
    if arguments.json:
        say_json({"ok": not broken, "checks": [asdict(check) for check in checks]})
    return 1 if broken else 0


def all_checks(settings: Settings) -> Iterator[Check]:
    """Yield every check, each done when it is asked for."""
    yield Check("python", sys.version_info[:2] in PYTHONS, f"{sys.version.split()[0]}, 3.11 or 3.12 is needed")
    yield tried("data dir", lambda: writable(settings.data_dir))
    yield tried("redis", lambda: redis_found(settings))
    yield tried("index", lambda: index_found(settings))
    yield tried("embedding model", lambda: embedder_found(settings))
    served = is_served(settings.rerank_model)
    # A served one that is down costs quality; one that cannot be loaded keeps the service from starting.
    yield tried("reranker", lambda: reranker_found(settings), needed=not served)
    yield tried("openvino", lambda: package_found("openvino"), needed=False)
    if settings.privacy.model:
        yield tried("names and places", lambda: names_found(settings.privacy))
    yield tried("token vocabulary", lambda: f"o200k_base works, {count_tokens('one two three')} tokens for three words")
    if not settings.models:
        yield Check("models", ok=True, detail="none configured: the built-in extractive provider answers", needed=False)
    for model in settings.models:
        yield tried(f"model {model.name}", lambda model=model: model_ready(model))  # type: ignore[misc]


def tried(name: str, attempt: Callable[[], str], *, needed: bool = True) -> Check:
    """Return the check of an attempt, which returns what it found or raises why it failed."""
    try:
        return Check(name, ok=True, detail=attempt(), needed=needed)
    except (IndexingError, RagoptError, OSError, ImportError, ValueError) as error:
        return Check(name, ok=False, detail=" ".join(str(error).split()) or type(error).__name__, needed=needed)


def writable(data_dir: Path) -> str:
    """Return who uses the data dir. Raises: `OSError` if it cannot be written, `StoreLocked`."""
    existing = next(folder for folder in (data_dir.resolve(), *data_dir.resolve().parents) if folder.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        raise PermissionError(f"{existing} cannot be written")
    holder = read_running(data_dir)
    return f"{data_dir}, held by {holder.describe()}" if holder else f"{data_dir}, free"


def redis_found(settings: Settings) -> str:
    """Return where the state lives. Raises: `ConfigError`, `RagoptError`."""
    if not settings.redis_url:
        return f"embedded, {find_binary()}"
    asyncio.run(ping(settings.redis_url))
    return "the Redis of RAGOPT_REDIS_URL answers"


async def ping(url: str) -> None:
    """Return if the Redis at `url` answers. Raises: `RagoptError`."""
    redis = connect(url, timeout_s=REMOTE_TIMEOUT_S)
    with redis_errors():
        try:
            await redis.get("ragopt:doctor")
        finally:
            await redis.aclose()


def index_found(settings: Settings) -> str:
    """Return which engine holds the index. Raises: `StoreUnavailable`, `ImportError`."""
    if not settings.qdrant_url:
        return f"embedded, {package_found('qdrant-edge-py', module='qdrant_edge')}"
    asyncio.run(ping_qdrant(settings))
    return f"{shown_address(settings.qdrant_url)} answers"


async def ping_qdrant(settings: Settings) -> None:
    """Return if the Qdrant server answers. Raises: `StoreUnavailable`."""
    engine = QdrantEngine(settings.qdrant_url or "", settings.qdrant_api_key, timeout_s=REMOTE_TIMEOUT_S)
    try:
        await engine.ping()
    finally:
        await engine.close()


def embedder_found(settings: Settings) -> str:
    """Return what embeds: the model's folder and checksum, or its address. Raises: `ModelUnavailable`."""
    model = settings.embedding_model
    if is_served(model):
        return asyncio.run(ping_embedder(model, settings.embedding_api_key))
    files = model_files(model)
    return f"{model or 'the one that ships'}, sha256 {files.sha256[:12]}…{', as published' if not model else ''}"


def reranker_found(settings: Settings) -> str:
    """Return what reranks. Raises: `ModelUnavailable`, `ProviderError`."""
    model = chosen_model(settings.rerank_model, hub_cache_dir())
    if model == LATE_INTERACTION:
        return "late interaction alone, no cross-encoder is configured or on this machine"
    if not is_served(model):
        files = classifier_files(model, setting=RERANK_SETTING)
        found = "from the hub's cache" if not settings.rerank_model else model
        return f"late interaction, then a cross-encoder {found}, sha256 {files.sha256[:12]}…"
    asyncio.run(ping_reranker(model, settings.rerank_api_key))
    return f"late interaction, then {model}, which answers"


async def ping_embedder(url: str, api_key: SecretStr | None) -> str:
    """Return what the embedding endpoint runs. Raises: `ModelUnavailable`."""
    embedder = await ServedEmbedder.load(url, api_key)
    await embedder.close()
    return f"{url} answers, {embedder.dim} numbers a vector, {embedder.tag}"


async def ping_reranker(url: str, api_key: SecretStr | None) -> None:
    """Return if the rerank endpoint judges a pair. Raises: `ModelUnavailable`, `ProviderError`."""
    judge = ServedCrossEncoder(url, api_key)
    try:
        await judge.scores("question", ["text"])
    finally:
        await judge.close()


def names_found(settings: PrivacySettings) -> str:
    """Return what finds names and places. Raises: `ConfigError`, `ImportError`."""
    PresidioRecogniser.load(settings).close()
    entities = ", ".join(f"{entity} is {kind}" for entity, kind in settings.entities.items())
    return f"{settings.model} by {package_found('presidio-analyzer', module='presidio_analyzer')}: {entities}"


def package_found(package: str, *, module: str | None = None) -> str:
    """Return a package's name and version once it has been imported. Raises: `ImportError`."""
    importlib.import_module(module or package)
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError as error:
        raise ImportError(f"{package} is not installed") from error


def model_ready(model: ModelSettings) -> str:
    """Return how a configured model is reached. Raises: `ConfigError` if its provider wants a key and none is set."""
    place, named = configured_address(model), f"{model.provider} {model.model or model.name}"
    if model.provider == "extractive" or configured_key(model) is not None:
        return f"{named} at {shown_address(place)}" if place else named
    if place is None:
        raise ConfigError("no API key is set for it")
    return f"{named} at {shown_address(place)}, without a key"
