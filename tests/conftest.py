"""What the tests of several folders need: repeatable properties, and a real Redis that starts each test empty."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, settings

from ragopt.state.redis_server import EmbeddedRedis
from tests import scratch
from tests.cross_encoders import tiny_cross_encoder

# The same examples in every run, and no failure because a machine was busy.
settings.register_profile("ragopt", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ragopt")


def pytest_configure(config: pytest.Config) -> None:
    """Keep the folders of this run in memory where there is room: `TMPDIR=/tmp` keeps them on the disk, to be read."""
    kept = ExitStack()
    kept.enter_context(scratch.in_memory())
    config.add_cleanup(kept.close)


@pytest.fixture(scope="session", autouse=True)
def empty_hub_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hide what this machine downloaded from a hub: a cross-encoder among it would rerank, and take its time."""
    before = os.environ.get("HF_HUB_CACHE")
    os.environ["HF_HUB_CACHE"] = str(tmp_path_factory.mktemp("hub"))
    yield
    del os.environ["HF_HUB_CACHE"]
    if before is not None:
        os.environ["HF_HUB_CACHE"] = before


@pytest.fixture(scope="session")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small real cross-encoder."""
    return tiny_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))


@pytest.fixture(scope="session")
def short_dir() -> Iterator[Path]:
    """Yield a folder whose path leaves room for a socket name; pytest's own are too long for that."""
    folder = Path(tempfile.mkdtemp(prefix="ragopt-test-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def module_dir(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Yield a folder for the tests of one file, which goes with them: a service's data takes hundreds of MB."""
    folder = tmp_path_factory.mktemp(request.path.stem)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_server(short_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """Yield the one Redis of the test run."""
    runtime_dir = short_dir / "run"
    runtime_dir.mkdir()
    server = EmbeddedRedis.attach(tmp_path_factory.mktemp("redis"), runtime_dir=runtime_dir)
    yield server
    server.stop()


@pytest.fixture
def redis_url(redis_server: EmbeddedRedis) -> str:
    """Return the URL of a real Redis that holds nothing yet."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def own_redis(tmp_path: Path, short_dir: Path) -> Iterator[EmbeddedRedis]:
    """Yield a server that the test may pause or kill."""
    runtime_dir = Path(tempfile.mkdtemp(dir=short_dir))
    server = EmbeddedRedis.attach(tmp_path / "redis", runtime_dir=runtime_dir)
    yield server
    server.stop()
