"""Writers and readers of one document at once, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import httpx
import pytest

from tests.e2e.service import Running, running

READERS = 20
EDITIONS = 12
SENTENCES = 30


@pytest.fixture(scope="module")
def service(module_dir: Path) -> Iterator[Running]:
    """Yield a fresh service."""
    with running(module_dir / "data") as made:
        yield made


def edition(number: int) -> dict[str, str]:
    """Return a document whose every sentence names its edition."""
    return {"id": "rules", "text": " ".join(f"Rule {n} of edition{number} holds." for n in range(SENTENCES))}


def send(client: httpx.Client, number: int) -> dict[str, object]:
    """Ingest an edition and return what became of it."""
    answer = client.post("/ingest", json={"documents": [edition(number)], "collection": "rules"})
    answer.raise_for_status()
    return dict(answer.json()["documents"][0])


def read_until(client: httpx.Client, stop: Event) -> int:
    """Ask until told to stop: each context is of one edition, whole, and never empty; return how many were read."""
    question = {"question": "Which rule holds?", "collection": "rules", "token_budget": 2_000, "top_k": 100}
    reads = 0
    while not stop.is_set():
        answer = client.post("/context", json=question)
        assert answer.status_code == 200, answer.text
        passages = answer.json()["passages"]
        text = " ".join(passage["text"] for passage in passages)
        assert len({word for word in text.split() if word.startswith("edition")}) == 1
        assert text.count("Rule ") == SENTENCES
        assert len({passage["version"] for passage in passages}) == 1
        reads += 1
    return reads


def test_twenty_readers_see_one_whole_edition_while_editions_change(service: Running) -> None:
    """No error, no gap and no mixture, whatever is being published."""
    stop = Event()
    with service.client() as client, ThreadPoolExecutor(READERS) as pool:
        send(client, 0)
        readers = [pool.submit(read_until, client, stop) for _ in range(READERS)]
        try:
            written = [send(client, number)["status"] for number in range(1, EDITIONS)]
        finally:
            stop.set()
        assert written == ["updated"] * (EDITIONS - 1)
        assert all(reader.result() > 0 for reader in readers)


def test_ingests_of_one_id_at_once_all_succeed(service: Running, tmp_path: Path) -> None:
    """Each gets a version of its own, and one of the texts is live, whole."""
    with service.client() as client, ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda number: send(client, number), range(100, 108)))
        stored = client.get("/documents/rules?collection=rules").json()
    versions = [result["version"] for result in results]
    assert len(set(versions)) == len(versions)
    assert stored["version"] == max(int(str(version)) for version in versions)
    assert stored["text"] in {edition(number)["text"] for number in range(100, 108)}
