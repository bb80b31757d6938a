"""Model calls of the real service, with the provider stub behind it: hanging up, throttling, the one deadline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eval.stub import StubServer, serve_in_thread
from tests.e2e.service import Running, running
from tests.ragopt.api.fakes import eventually

DOCUMENT = {"id": "cats", "text": "Cats sleep sixteen hours a day. They purr as well."}
QUESTION = {"question": "How long do cats sleep?", "cache": "off"}
# In the order in which they fall back: what is named first has the others behind it.
MODELS = ("drip", "hang", "429_long")


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


@pytest.fixture(scope="module")
def service(stub: StubServer, module_dir: Path) -> Iterator[Running]:
    """A service whose models fail in their own ways, with one document."""
    folder = module_dir
    entries = [
        f'[[models]]\nname = "{fault}"\nprovider = "openai"\nmodel = "stub-{fault}"\nbase_url = "{stub.openai_url}"\n'
        # Alone in its tier, so that no other model answers for it.
        f'tier = "{"complex" if fault == "429_long" else "simple"}"\n'
        for fault in MODELS
    ]
    (folder / "ragopt.toml").write_text("request_timeout_s = 3\n" + "".join(entries), encoding="utf-8")
    with running(folder / "data") as made:
        with made.client() as client:
            client.post("/ingest", json={"documents": [DOCUMENT]}).raise_for_status()
        yield made


def test_client_that_hangs_up_ends_the_call_of_the_provider(service: Running, stub: StubServer) -> None:
    """The provider sees the connection end while the answer is still running."""
    with (
        service.client() as client,
        client.stream("POST", "/answer", json={**QUESTION, "model": "drip", "stream": True}) as response,
    ):
        lines = response.iter_lines()
        # Text is released by whole sentences, and this model takes longer than its time for one.
        assert any(line == "event: sources" for line in lines)
        eventually(lambda: bool(stub.calls) and stub.calls[-1].fault == "drip")
    assert stub.last_call_left()


def test_throttled_request_says_when_to_come_back(service: Running) -> None:
    """The provider's Retry-After reaches the caller, and the attempts are in the sentence."""
    with service.client() as client:
        answer = client.post("/answer", json={**QUESTION, "model": "429_long"})
    assert (answer.status_code, answer.json()["code"]) == (503, "provider_throttled")
    assert answer.headers["Retry-After"] == "3600"
    assert "429_long: provider_throttled: openai: HTTP 429" in answer.json()["detail"]


def test_deadline_of_the_request_ends_a_call_that_has_more_time(service: Running, stub: StubServer) -> None:
    """A model may take 30 seconds, the request three: it ends with a typed error, and so does the call."""
    with service.client() as client:
        answer = client.post("/answer", json={**QUESTION, "model": "hang"})
    assert answer.json()["code"] in {"deadline_exceeded", "provider_timeout"}
    hanging = [call for call in stub.calls if call.fault == "hang"]
    assert len(hanging) == 1
    assert stub.all_left(hanging)
