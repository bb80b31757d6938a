"""`ragopt serve`: the service, and on its first start a key to reach it."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from socket import socket
from urllib.parse import quote

import uvloop

from indexes.memory import share_arenas
from ragopt.api.app import create_app
from ragopt.api.request_log import log_to_stderr
from ragopt.api.running import Lifetime
from ragopt.api.server import DrainingServer, listening_socket, url_of
from ragopt.audit.events import LOCAL, Actor, AuditEvent
from ragopt.cli.arguments import add_data_dir
from ragopt.cli.files import found_files
from ragopt.cli.ingest import ingest_files, summary
from ragopt.cli.terminal import complain, say
from ragopt.config import Settings, load_settings
from ragopt.errors import ConfigError, MissingKey
from ragopt.state.data_dir import DataDirLock
from ragopt.state.key_records import DEFAULT_TENANT, SCOPES
from ragopt.state.keys import KeyStore
from ragopt.wiring import Service, open_service

EXAMPLE = "ragopt serve --port 8080 --data-dir .ragopt"
SAMPLE_PATHS = (Path("docs"),)
SAMPLE_QUESTION = "What happens when Redis is down?"
DEV_KEY_FILE = "dev-key"
TERMINATED = 128 + signal.SIGTERM
# Allocations between two garbage collections of the young; 700 is Python's own.
COLLECTED_EVERY = 20_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, help="port to listen on, 0 for a free one (default: 8080)")
    add_data_dir(parser)
    parser.add_argument("--workers", type=int, default=1, help="processes; only 1 while an engine is embedded")
    parser.add_argument("--dev", action="store_true", help="ingest a sample, print a link with a key to the web page")
    sample = "what --dev ingests (default: docs)"
    parser.add_argument("--sample", nargs="+", type=Path, metavar="PATH", help=sample)


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; exit code 0 after a clean drain."""
    settings = load_settings(data_dir=arguments.data_dir, host=arguments.host, port=arguments.port)
    refuse_workers(arguments.workers, settings)
    share_arenas()
    log_to_stderr()
    sample = sample_paths(arguments.sample) if arguments.dev else None
    with DataDirLock(settings.data_dir) if embedded(settings) else nullcontext() as lock:
        bound = bound_socket(settings)
        if lock is not None:
            lock.announce(url_of(bound))
        try:
            # Measured: a tenth less processor time for an answer than on Python's own loop.
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve(settings, bound, lock=lock, sample=sample))
        except asyncio.CancelledError:
            return TERMINATED  # ended before it had started
        finally:
            bound.close()
    return 0


def embedded(settings: Settings) -> bool:
    """Return whether an engine in the data dir belongs to this process alone."""
    return not (settings.qdrant_url and settings.redis_url)


def refuse_workers(workers: int, settings: Settings) -> None:
    """Raise `ConfigError` unless the service can run in that many processes."""
    if workers != 1 and embedded(settings):
        need = "set RAGOPT_QDRANT_URL and RAGOPT_REDIS_URL"
        raise ConfigError(f"--workers: an embedded engine belongs to one process; {need}")
    if workers != 1:
        raise ConfigError("--workers: start one `ragopt serve` per process, behind a load balancer")


def bound_socket(settings: Settings) -> socket:
    """Return the socket to serve on. Raises: `ConfigError` if the address cannot be had."""
    try:
        return listening_socket(settings.host, settings.port)
    except OSError as error:
        raise ConfigError(f"cannot listen on {settings.host}:{settings.port}: {error.strerror or error}") from error


async def serve(settings: Settings, bound: socket, *, lock: DataDirLock | None, sample: list[Path] | None) -> None:
    """Open the service, prepare what a first start needs, and serve until a signal."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    if task is not None:
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    async with open_service(settings) as service:
        if lock is not None:
            service.keys.trust_local(lock.token)
        announce = await prepared(service, url_of(bound), sample=sample)
        # From here on the server handles signals; both handlers at once would cancel the drain.
        loop.remove_signal_handler(signal.SIGTERM)
        lifetime = Lifetime()
        app = create_app(lambda: nullcontext(service), settings, lifetime=lifetime)

        def started() -> None:
            spare_collector()
            announce()

        server = DrainingServer(app, lifetime=lifetime, drain_s=settings.drain_s, on_started=started)
        await server.serve(sockets=[bound])


def spare_collector() -> None:
    """Leave what the start made out of every later garbage collection, and collect the young less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECTED_EVERY, *gc.get_threshold()[1:])


async def prepared(service: Service, url: str, *, sample: list[Path] | None) -> Callable[[], None]:
    """Return what to print once the service listens, after the keys and the sample it needs are there."""
    if sample is None:
        first = await first_key(service)
        return partial(announce_service, url, first_key=first)
    key = await dev_key(service, service.settings.data_dir / DEV_KEY_FILE)
    found = found_files(sample)
    results = await ingest_files(service, found, collection="default")
    complain(summary(results, skipped=found.skipped))
    return partial(announce_page, url, key=key)


async def first_key(service: Service) -> str | None:
    """Return a new key with all scopes if there is none to reach the service with, else None."""
    if service.settings.api_key is not None or await service.keys.all():
        return None
    return await new_key(service, "first-start")


async def dev_key(service: Service, file: Path) -> str:
    """Return the key kept in `file` if it still works, else a new one, kept there with mode 0600."""
    kept = kept_key(file)
    if kept is not None and await has_all_scopes(service.keys, kept):
        return kept
    plain = await new_key(service, "dev")
    keep_key(file, plain)
    return plain


async def new_key(service: Service, name: str) -> str:
    """Return a new key with all scopes, written down in the audit log."""
    key, plain = await service.keys.create(DEFAULT_TENANT, name, scopes=SCOPES)
    service.audit.record(AuditEvent("key_created", Actor(LOCAL, key.tenant), subject=key.id))
    return plain


async def has_all_scopes(keys: KeyStore, plain: str) -> bool:
    """Return whether the key works and may do everything."""
    try:
        return (await keys.authenticate(plain)).scopes >= set(SCOPES)
    except MissingKey:
        return False


def kept_key(file: Path) -> str | None:
    """Return the key in a file, None if it holds none."""
    try:
        return file.read_text(encoding="ascii").strip() or None
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def keep_key(file: Path, plain: str) -> None:
    """Write a key to a new file that only this user can read."""
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        opened.write(f"{plain}\n")


def sample_paths(given: list[Path] | None) -> list[Path]:
    """Return what `--dev` ingests: what was given, else what is there of the default."""
    return given if given is not None else [path for path in SAMPLE_PATHS if path.exists()]


def announce_service(url: str, *, first_key: str | None) -> None:
    """Print where the service is, and the first key once."""
    if first_key is not None:
        say(f"API key, all scopes, shown this once: {first_key}")
    say(f"ragopt serves {url}")


def announce_page(url: str, *, key: str) -> None:
    """Print the web page's address and a request that works as pasted."""
    body = json.dumps({"question": SAMPLE_QUESTION})
    say(f"Web page: {url}/#key={quote(key)}")
    say(f"curl -s {url}/answer -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' -d '{body}'")
