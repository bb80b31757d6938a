"""The response cache over a real socket: the same words and other words, as JSON and streamed."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis

from indexes.pair_model import read_card
from ragopt.stages.cache.verifier import SHIPPED, read_calibration
from ragopt.state.labels import Label, Labels
from tests.e2e.service import running
from tests.ragopt.api.fakes import events_of, eventually

LEAVE = {"id": "leave", "text": "Every employee has 27 vacation days a year. Unused days lapse in March."}
ASKED = {"question": "How many vacation days does an employee have?"}
IN_OTHER_WORDS = {"question": "How many days of vacation does an employee have?"}
# More than a level at 5 % needs, of pairs that were all the same.
LABELS = 120


def test_an_answer_is_given_again_in_the_same_words_and_in_others(tmp_path: Path) -> None:
    """Streamed like a fresh one, for nothing; other words only once the collection has shown that it may be."""
    with running(tmp_path / "data", RAGOPT_CACHE__SHADOW_SHARE="0") as made, made.client() as client:
        client.post("/ingest", json={"documents": [LEAVE]}).raise_for_status()
        fresh = client.post("/answer", json=ASKED).json()
        assert (fresh["cache"]["status"], "27" in fresh["answer"]) == ("miss", True)
        # On a busy machine the cache may be late, and is left alone for a while.
        eventually(lambda: streamed(client)["done"]["cache"]["kind"] == "exact", within_s=20)
        assert streamed(client)["usage"]["input_tokens"] == 0
        assert asked_otherwise(client)["cache"]["status"] == "miss"
        client.delete("/cache").raise_for_status()
        asyncio.run(taught(tmp_path / "data"))
        shown = client.get("/cache").json()
        assert (shown["labels"], shown["levels"][0]["max_wrong"]) == (LABELS, 0.05)
        assert shown["levels"][0]["wrong"]["high"] < 0.05
        client.post("/answer", json=ASKED).raise_for_status()
        eventually(lambda: asked_otherwise(client)["cache"]["kind"] == "semantic", within_s=20)
        other = asked_otherwise(client)
        assert (other["answer"], other["usage"]["input_tokens"]) == (fresh["answer"], 0)
        assert 0.6 < other["cache"]["similarity"] < 1


def streamed(client: httpx.Client) -> dict[str, Any]:
    """Return the last event of each name of a streamed answer to the question."""
    return dict(events_of(client.post("/answer", json={**ASKED, "stream": True}).text))


def asked_otherwise(client: httpx.Client) -> Any:
    """Return the answer to the question in other words, which is not kept."""
    return client.post("/answer", json={**IN_OTHER_WORDS, "cache": "read_only"}).json()


async def taught(data_dir: Path) -> None:
    """Keep labels of the verifier that ships, as shadow checks would have found them."""
    judge = f"{read_card(SHIPPED).tag}-{read_calibration(SHIPPED)[1]}"
    socket = (data_dir / "redis" / "server.lock").read_text()
    async with Redis(unix_socket_path=socket) as redis:
        for at in range(LABELS):
            label = Label(0.3 + at / 10_000, same=True)
            await Labels(redis).add("default", "default", label, judge=judge)
