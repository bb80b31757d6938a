"""The whole service over a real socket: real engines, real model, real Redis, driven as a user drives it."""

from __future__ import annotations

import importlib
import json
import os
import shlex
import signal
import stat
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ragopt.__main__ import main
from ragopt.api.schemas import AnswerResponse, ContextResponse
from ragopt.state.data_dir import read_running
from ragopt.tokens import count_tokens
from tests.e2e.service import Running, running
from tests.house.source import ROOT
from tests.ragopt.api.fakes import events_of, eventually
from tests.ragopt.cli.running import ragopt, ragopt_here

HANDBOOK = """# Handbook

## Vacation

Every employee has 27 vacation days a year. Unused days expire at the end of March.

## Travel

Trains are booked in second class. A hotel may cost 140 euros a night.
"""
QUESTION = {"question": "How many vacation days does an employee have?"}


@pytest.fixture(scope="module")
def service(module_dir: Path) -> Iterator[Running]:
    """Yield a fresh service that holds the handbook."""
    with running(module_dir / "data") as made:
        with made.client() as client:
            documents = [{"id": "hr/handbook", "text": HANDBOOK, "title": "Handbook"}]
            client.post("/ingest", json={"documents": documents}).raise_for_status()
        yield made


def data_dir_of(service: Running) -> Path:
    """Return the data dir that a service was started on."""
    arguments = [str(part) for part in service.process.args]  # type: ignore[union-attr]
    return Path(arguments[arguments.index("--data-dir") + 1])


def test_context_stays_within_its_budget(service: Running) -> None:
    """Passages fit the budget, their text is the document's own, and every stage tells its time."""
    with service.client() as client:
        content = client.post("/context", json={**QUESTION, "token_budget": 30}).json()
        document = client.get("/documents/hr%2Fhandbook").json()
    ContextResponse.model_validate(content, strict=False)
    texts = [passage["text"] for passage in content["passages"]]
    assert content["tokens"] == count_tokens("\n\n".join(texts)) <= 30
    assert "27 vacation days" in texts[0]
    for passage in content["passages"]:
        spans = [document["text"][start:end] for start, end in passage["spans"]]
        assert " … ".join(spans) == passage["text"]
    assert document["text"] == HANDBOOK
    assert {"auth", "rewrite", "embed", "retrieve", "rerank", "pack", "total"} <= content["timings_ms"].keys()


def test_answer_quotes_the_document(service: Running) -> None:
    """An answer cites words that stand in the document at the offsets it names, streamed or not."""
    with service.client() as client:
        whole = client.post("/answer", json={**QUESTION, "cache": "off"}).json()
        events = events_of(client.post("/answer", json={**QUESTION, "cache": "off", "stream": True}).text)
    AnswerResponse.model_validate(whole, strict=False)
    assert "27" in whole["answer"]
    for citation in whole["citations"]:
        assert HANDBOOK[citation["source_start"] : citation["source_end"]] == citation["quote"]
    assert whole["route"]["provider"] == "extractive"
    done = dict(events)["done"]
    assert (done["answer"], done["citations"]) == (whole["answer"], whole["citations"])
    assert [name for name, _ in events][:3] == ["meta", "sources", "delta"]


def test_second_answer_comes_from_the_cache(service: Running) -> None:
    """The same question again is soon a hit, and one that a new document could change is not."""
    with service.client() as client:
        asked = {**QUESTION, "collection": "cached"}
        document = {"id": "a", "text": HANDBOOK}
        client.post("/ingest", json={"documents": [document], "collection": "cached"})
        first = client.post("/answer", json=asked).json()["cache"]["status"]
        # A busy machine keeps an answer beside the request, and may be too late to look for it.
        eventually(lambda: client.post("/answer", json=asked).json()["cache"]["status"] == "hit")
        changed = {"id": "a", "text": HANDBOOK.replace("27", "31")}
        client.post("/ingest", json={"documents": [changed], "collection": "cached"})
        after = client.post("/answer", json=asked).json()
    assert first == "miss"
    assert "31" in after["answer"]


def test_filter_decides_what_is_searched(service: Running, tmp_path: Path) -> None:
    """A filter holds for /context, /answer and its cache; one that matches nothing is an abstention, no error."""
    closing = "The gate of the office in {} closes at {}."
    documents = [
        {"id": "north", "text": closing.format("Oslo", "eight"), "metadata": {"city": "Oslo", "floor": 1}},
        {"id": "south", "text": closing.format("Rome", "nine"), "metadata": {"city": "Rome", "floor": 2}},
    ]
    asked = {"question": "When does the gate of the office close?", "collection": "offices"}
    with service.client() as client:
        client.post("/ingest", json={"documents": documents, "collection": "offices"}).raise_for_status()
        both = client.post("/context", json={**asked, "filter": {"floor": [1, 2]}}).json()
        rome = client.post("/context", json={**asked, "filter": {"city": "Rome", "floor": 2.0}}).json()
        cities = ["Oslo", "Rome"]
        answers = [client.post("/answer", json={**asked, "filter": {"city": city}}).json() for city in cities]
        # On a busy machine the cache may be late.
        oslo = {**asked, "filter": {"city": "Oslo"}}
        eventually(lambda: client.post("/answer", json=oslo).json()["cache"]["status"] == "hit", within_s=20)
        none = client.post("/answer", json={**asked, "filter": {"city": "Oslo", "floor": "1"}})
    assert {passage["document_id"] for passage in both["passages"]} == {"north", "south"}
    assert {passage["document_id"] for passage in rome["passages"]} == {"south"}
    assert [("eight" in whole["answer"], "nine" in whole["answer"]) for whole in answers] == [
        (True, False),
        (False, True),
    ]
    assert [whole["cache"]["status"] for whole in answers] == ["miss", "miss"]
    assert (none.status_code, none.json()["abstained"], none.json()["context"]["passages"]) == (200, True, [])
    place = ("--collection", "offices", "--data-dir", data_dir_of(service))
    told = ragopt("ask", asked["question"], "--filter", "city=Rome", "--filter", "floor=[1, 2]", *place, cwd=tmp_path)
    assert (told.returncode, "nine" in told.stdout, "eight" in told.stdout) == (0, True, False)


def test_conversation_is_remembered(service: Running) -> None:
    """A follow-up is understood by what was said before under the same conversation id."""
    with service.client() as client:
        client.post("/answer", json={**QUESTION, "conversation_id": "c1"})
        follow_up = {"question": "When do they expire?", "conversation_id": "c1"}
        whole = client.post("/answer", json=follow_up).json()
    assert "history" in whole["timings_ms"]
    assert "March" in whole["answer"]


def test_background_ingest_ends(service: Running) -> None:
    """With `wait` false the job ends by itself, and its document is found."""
    with service.client() as client:
        body = {
            "documents": [{"id": "late", "text": "The canteen opens at noon."}],
            "collection": "late",
            "wait": False,
        }
        place = client.post("/ingest", json=body).headers["location"]
        eventually(lambda: client.get(place).json()["status"] == "done", within_s=60)
        assert client.get("/documents/late?collection=late").json()["text"] == "The canteen opens at noon."


def test_commands_talk_to_the_running_service(service: Running, tmp_path: Path) -> None:
    """`ingest` and `ask` reach the process that holds the data dir; a failed file is one line and exit code 1."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "rules.md").write_text("# Rules\n\nThe gate closes at eight in the evening.")
    (tmp_path / "docs" / "broken.pdf").write_bytes(b"not a pdf")
    (tmp_path / "docs" / "picture.png").write_bytes(b"x")
    place = ("--collection", "rules", "--data-dir", data_dir_of(service))
    first = ragopt("ingest", "docs", *place, cwd=tmp_path)
    assert (first.returncode, "1 created" in first.stdout, "1 file of other types" in first.stdout) == (1, True, True)
    assert [line for line in first.stderr.splitlines() if line.startswith("failed: docs/broken.pdf: ")]
    again = ragopt("ingest", "docs/rules.md", "docs", "--json", *place, cwd=tmp_path)
    assert {item["status"] for item in json.loads(again.stdout)["documents"]} == {"created", "unchanged", "failed"}
    asked = ragopt("ask", "When does the gate close?", *place, cwd=tmp_path)
    assert asked.returncode == 0
    assert "eight in the evening" in asked.stdout
    assert "“The gate closes at eight in the evening.”" in asked.stdout


def test_keys_work_beside_the_running_service(service: Running, tmp_path: Path) -> None:
    """A key that the command line creates works at once, for its own tenant only, and not after it was revoked."""
    place = ("--data-dir", data_dir_of(service))
    made = ragopt("keys", "create", "--tenant", "acme", "--name", "web", "--json", *place, cwd=tmp_path)
    key = json.loads(made.stdout)
    with service.client(key["key"]) as client:
        missing = client.get("/documents")
        assert (missing.status_code, missing.json()["code"]) == (404, "collection_not_found")
        assert ragopt("keys", "revoke", key["id"], *place, cwd=tmp_path).returncode == 0
        eventually(lambda: client.get("/documents").status_code == 401, within_s=15)


def test_second_service_on_the_same_data_is_refused(service: Running, tmp_path: Path) -> None:
    """A second service on the data dir ends with one line that names the first one's process and address."""
    refused = ragopt("serve", "--port", "0", "--data-dir", data_dir_of(service), cwd=tmp_path)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert f"process {service.process.pid}, which serves {service.url}" in refused.stderr


def test_limits_hold(service: Running) -> None:
    """A document over 20 MB, a body over 2 MB and a question over 8,000 tokens are 413."""
    with service.client() as client:
        large = client.post("/ingest", json={"documents": [{"id": "x", "text": "word " * 4_400_000}]})
        body = client.post("/answer", json={"question": "a " * 1_100_000})
        question = client.post("/answer", json={"question": "word " * 8_001})
    codes = [(response.status_code, response.json()["code"]) for response in (large, body, question)]
    assert codes == [(413, "document_too_large"), (413, "payload_too_large"), (413, "question_too_long")]


def test_restart_keeps_everything(tmp_path: Path) -> None:
    """After `kill -9` and after SIGTERM (exit code 0) documents, key and jobs are there; the key is shown once."""
    data_dir = tmp_path / "data"
    with running(data_dir) as first:
        key = first.key
        with first.client() as client:
            client.post("/ingest", json={"documents": [{"id": "a", "text": HANDBOOK}]}).raise_for_status()
        first.kill()
    assert read_running(data_dir) is None
    with running(data_dir) as second:
        assert (bool(key), second.key) == (True, "")
        with second.client(key) as client:
            assert client.get("/documents/a").json()["text"] == HANDBOOK
            many = [{"id": f"d{n}", "text": f"{HANDBOOK} Number {n}."} for n in range(40)]
            place = client.post("/ingest", json={"documents": many, "wait": False}).headers["location"]
        assert second.terminate() == 0
    with running(data_dir) as third, third.client(key) as client:
        eventually(lambda: client.get(place).json()["status"] == "done", within_s=90)
        assert len(client.get("/documents").json()["documents"]) == 41


def test_service_goes_on_without_redis(tmp_path: Path) -> None:
    """While Redis is down the service is degraded: answers and ingests go on, conversations are refused.

    A killed Redis is started again under the running service, with the conversations that it held.
    """
    asked = {**QUESTION, "conversation_id": "c1"}
    with running(tmp_path / "data") as made, made.client() as client:
        client.post("/ingest", json={"documents": [{"id": "a", "text": HANDBOOK}]}).raise_for_status()
        # Paused, not killed: one that is gone is started again.
        server = redis_of(tmp_path / "data")
        os.kill(server, signal.SIGSTOP)
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["status"]) == (200, "degraded")
        assert "27" in client.post("/answer", json=QUESTION).json()["answer"]
        refused = client.post("/answer", json=asked)
        assert (refused.status_code, refused.json()["code"]) == (503, "conversation_unavailable")
        assert client.post("/ingest", json={"documents": [{"id": "b", "text": "Lunch is at noon."}]}).is_success
        assert client.get("/documents/b").json()["text"] == "Lunch is at noon."
        os.kill(server, signal.SIGCONT)
        eventually(lambda: client.post("/answer", json=asked).is_success, within_s=30)
        os.kill(server, signal.SIGKILL)
        # How long it is gone is chance, so nobody waits to see it gone.
        eventually(lambda: is_replaced(tmp_path / "data", server), within_s=30)
        eventually(lambda: client.get("/readyz").json()["status"] == "ok", within_s=30)
        assert client.get("/conversations/c1").json()["turns"]
        assert client.post("/answer", json=asked).is_success
        assert made.terminate() == 0


def redis_of(data_dir: Path) -> int:
    """Return the process id of a data dir's Redis."""
    socket = (data_dir / "redis" / "server.lock").read_text()
    with redis.Redis(unix_socket_path=socket) as client:
        return int(client.info("server")["process_id"])  # type: ignore[index]


def is_replaced(data_dir: Path, died: int) -> bool:
    """Return whether another Redis than the dead one answers for the data dir."""
    with suppress(redis.ConnectionError):
        return redis_of(data_dir) != died
    return False


def test_dev_mode_answers_about_its_sample(tmp_path: Path) -> None:
    """`serve --dev` ingests the sample, keeps one private key over restarts, and its curl line works as pasted."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "redis.md").write_text("# Redis\n\nWhen Redis is down, uncached answers go on.")
    (tmp_path / "README.md").write_text("# ragopt\n\nIt answers questions.")
    keys = []
    for _ in range(2):
        with running(tmp_path / "data", "--dev") as made:
            keys.append(made.key)
            curl = next(line for line in made.lines if line.startswith("curl "))
            assert "uncached answers go on" in ask_as(curl)["answer"]
            page = httpx.get(made.url, trust_env=False)
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert keys[0] == keys[1]
    assert stat.S_IMODE((tmp_path / "data" / "dev-key").stat().st_mode) == 0o600


def ask_as(curl: str) -> Any:
    """Return the JSON that a curl line gets, without needing curl."""
    words = shlex.split(curl)
    url = next(word for word in words if word.startswith("http"))
    headers = dict(words[at + 1].split(": ", 1) for at, word in enumerate(words) if word == "-H")
    return httpx.post(url, headers=headers, content=words[words.index("-d") + 1], timeout=60, trust_env=False).json()


def test_commands_work_without_a_service(tmp_path: Path) -> None:
    """With nobody on the data dir, `ingest` and `ask` do the work themselves, whatever lists documents carry."""
    (tmp_path / "a.md").write_text("# Gate\n\nThe gate closes at eight in the evening.")
    late = {"id": "late", "text": "The gate closes at ten in the evening.", "metadata": {"day": "Friday"}, "access": []}
    (tmp_path / "b.jsonl").write_text(json.dumps(late))
    assert ragopt_here("ingest", "b.jsonl", cwd=tmp_path).returncode == 0
    friday = ragopt_here("ask", "When does the gate close?", "--filter", "day=Friday", cwd=tmp_path)
    assert "ten in the evening" in friday.stdout
    ingested = ragopt("ingest", "a.md", "--access", "group:hr", cwd=tmp_path)
    assert (ingested.returncode, "1 created" in ingested.stdout) == (0, True)
    asked = ragopt("ask", "When does the gate close?", "--json", cwd=tmp_path)
    assert "eight in the evening" in json.loads(asked.stdout)["answer"]
    missing = ragopt_here("ask", "Why?", "--collection", "nowhere", cwd=tmp_path)
    assert (missing.returncode, missing.stderr.count("\n")) == (1, 1)


def test_installed_command_is_the_module() -> None:
    """The command that gets installed is the function that `python -m ragopt` runs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    module, _, name = project["scripts"]["ragopt"].partition(":")
    assert getattr(importlib.import_module(module), name) is main
