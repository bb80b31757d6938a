"""`ragopt migrate`: an embedded data dir to servers."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from indexes.records import Document
from ragopt.cli.entry import main
from ragopt.config import load_settings
from ragopt.state.client import connect
from ragopt.state.keys import KeyStore
from ragopt.state.redis_server import EmbeddedRedis
from ragopt.wiring import open_service
from tests.environment import environment


def test_without_a_server_the_settings_to_change_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is opened, and one line says where a target is named."""
    with environment():
        assert main(["migrate", "--data-dir", str(tmp_path)]) == 1
    assert "RAGOPT_QDRANT_URL, RAGOPT_REDIS_URL" in capsys.readouterr().err


def test_folder_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No folder is made where none was."""
    with environment(RAGOPT_REDIS_URL="redis://127.0.0.1:1"):
        assert main(["migrate", "--data-dir", str(tmp_path / "gone")]) == 1
    assert "there is no folder" in capsys.readouterr().err
    assert not (tmp_path / "gone").exists()


def test_keys_of_a_data_dir_work_at_the_new_redis(
    tmp_path: Path, redis_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The data dir keeps what it has; the index stays embedded where no Qdrant server is named."""

    async def made() -> str:
        async with open_service(load_settings(data_dir=tmp_path)) as service:
            await service.library.ingest("default", "default", [Document("a", "Cats purr.")])
            return (await service.keys.create("default", "front end", scopes=["query"]))[1]

    async def works(url: str, plain: str) -> bool:
        async with connect(url, timeout_s=5) as redis:
            return (await KeyStore(redis, bootstrap=None).authenticate(plain)).name == "front end"

    with environment():
        plain = asyncio.run(made())
    with environment(RAGOPT_REDIS_URL=f"{redis_url}?db=2"):
        assert main(["migrate", "--data-dir", str(tmp_path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["collections"] == []
    assert told["keys_copied"] >= 1
    assert asyncio.run(works(f"{redis_url}?db=2", plain))
    server = EmbeddedRedis.attach(tmp_path / "redis", runtime_dir=Path("/tmp"))
    try:
        assert asyncio.run(works(server.url, plain))
    finally:
        server.stop()
