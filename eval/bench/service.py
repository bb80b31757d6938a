"""The service as a process of its own, as a user starts it."""

from __future__ import annotations

import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

import ragopt
from eval.errors import BenchError

READY_TIMEOUT_S = 300.0
READY_POLL_S = 0.02
STOP_TIMEOUT_S = 40.0
# A configured server or model would be measured, filled or paid for: the benchmark runs without.
UNSET = ("RAGOPT_QDRANT_URL", "RAGOPT_REDIS_URL", "RAGOPT_DATA_DIR")


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answered `/readyz`: where, with which key, how long after it was started, in which process."""

    url: str
    key: str
    ready_s: float
    pid: int

    def headers(self) -> dict[str, str]:
        """Return the headers that every request needs."""
        return {"Authorization": f"Bearer {self.key}"}


@contextmanager
def running_service(
    folder: Path,
    *,
    data_dir: Path,
    cache_home: Path | None = None,
    settings: Mapping[str, str] | None = None,
    config: str = "",
) -> Iterator[RunningService]:
    """Start the service, yield it when it is ready, and stop it.

    folder: where its configuration and its log go. cache_home: where it keeps converted models,
    None for the user's own. settings: variables that override the environment. config: of ragopt.toml.
    Raises: `BenchError` with the last line of its log if it does not come up.
    """
    port, key, log = free_port(), f"bench-{secrets.token_hex(16)}", folder / "service.log"
    config_file = folder / "ragopt.toml"
    config_file.write_text(config, encoding="utf-8")
    variables = [f"RAGOPT_CONFIG={config_file}", f"RAGOPT_API_KEY={key}"]
    variables += [f"XDG_CACHE_HOME={cache_home}"] if cache_home else []
    variables += [f"{name}={value}" for name, value in (settings or {}).items()]
    # Through env(1): only the settings read and copy this process's own environment.
    unset = [part for name in UNSET for part in ("-u", name)]
    serve = [sys.executable, "-m", "ragopt", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    started = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(  # noqa: S603
            ["/usr/bin/env", *unset, *variables, *serve], cwd=source_root(), stdout=output, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_ready(url, process, log)
        yield RunningService(url, key, time.perf_counter() - started, process.pid)
    finally:
        stop(process)


@asynccontextmanager
async def clients_of(
    service: RunningService, count: int, *, timeout_s: float
) -> AsyncIterator[list[httpx.AsyncClient]]:
    """Yield a client for each of so many callers, closed after the block.

    A pool that a hundred share hands out its connections seconds late, which would count as the service's time.
    """
    context = httpx.create_ssl_context()
    async with AsyncExitStack() as stack:
        clients = [
            httpx.AsyncClient(base_url=service.url, headers=service.headers(), timeout=timeout_s, verify=context)
            for _ in range(count)
        ]
        yield [await stack.enter_async_context(client) for client in clients]


def source_root() -> Path:
    """Return the folder that holds the packages: `python -m` finds them there, installed or not."""
    return Path(next(iter(ragopt.__path__))).parent


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listened on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    """Return when `/readyz` says 200. Raises: `BenchError` if the process ends or takes too long."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    with httpx.Client(base_url=url, timeout=5) as client:
        while process.poll() is None and time.monotonic() < deadline:
            if is_ready(client):
                return
            time.sleep(READY_POLL_S)
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
    raise BenchError(f"the service did not become ready (exit code {process.poll()}): {lines[-1]}")


def is_ready(client: httpx.Client) -> bool:
    """Return whether `/readyz` says 200; False while nobody listens."""
    try:
        return client.get("/readyz").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the process: politely, and by force if it does not."""
    process.terminate()
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
