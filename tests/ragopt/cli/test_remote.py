"""Talking to a running service: results, problems and streams as the command line sees them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from indexes.errors import CollectionNotFound, StoreLocked
from indexes.records import Document
from ragopt.cli.remote import Remote, service_at, service_of
from ragopt.config import Settings
from ragopt.errors import ConfigError, IncompleteStream, RagoptError
from ragopt.state.data_dir import DataDirLock
from tests.ragopt.api.fakes import KEY, Served, served


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    """Yield a served stand-in service."""
    with served() as running:
        yield running


@pytest.fixture
def remote(http: Served) -> Remote:
    """Return the client of a service that is as new."""
    http.service.reset()
    return Remote(http.url, KEY, local=True)


def test_results_come_back_as_they_were(remote: Remote) -> None:
    """One result per document, failures included, also where nothing could be stored."""
    good, bad = Document("a", "The sky is blue."), Document("b", " ")
    results = remote.ingest([good, bad], collection="c")
    assert [(item.id, item.status) for item in results] == [("a", "created"), ("b", "failed")]
    (alone,) = remote.ingest([bad], collection="c")
    assert alone.error is not None
    assert alone.error.code == "empty_text"


def test_problem_becomes_one_error(http: Served, remote: Remote) -> None:
    """A refusal is an error with its code and sentence."""
    with pytest.raises(RagoptError, match="invalid_api_key"):
        Remote(http.url, "wrong", local=True).ingest([Document("a", "text")], collection="c")
    http.service.pipeline.refusal = CollectionNotFound("there is no collection 'c'")
    with pytest.raises(RagoptError, match="there is no collection 'c'"):
        list(remote.answer("Why?", collection="c"))


def test_answer_comes_as_events(http: Served, remote: Remote) -> None:
    """The events of a streamed answer are yielded in order, the error event included."""
    names = [name for name, _ in remote.answer("Is the sky blue?", collection="c")]
    assert (names[0], names[-1]) == ("meta", "done")
    http.service.pipeline.failure = IncompleteStream("stopped")
    assert list(remote.answer("Is the sky blue?", collection="c"))[-1][1]["code"] == "incomplete_stream"


def test_metadata_and_filter_are_sent(http: Served, remote: Remote) -> None:
    """A document keeps its metadata, and a question its filter, on the way to a service."""
    remote.ingest([Document("a", "text", "A", {"team": "hr", "year": 2024})], collection="c")
    assert http.service.library.stored["acme", "c", "a"].metadata == {"team": "hr", "year": 2024}
    list(remote.answer("Why?", collection="c", matching={"year": (2023, 2024), "open": (True,)}))
    assert http.service.pipeline.asked[-1].filter == {"year": (2023, 2024), "open": (True,)}


def test_nobody_there_is_one_error() -> None:
    """A service that does not answer is an error that names its address."""
    with pytest.raises(RagoptError, match=r"http://127\.0\.0\.1:9 does not answer"):
        Remote("http://127.0.0.1:9", KEY, local=True).ingest([Document("a", "text")], collection="c")


def test_service_is_found_by_its_data_dir(tmp_path: Path) -> None:
    """The holder of a data dir is reached with its token; a holder that serves nothing is an error."""
    settings = Settings(data_dir=tmp_path)
    assert service_of(settings) is None
    with DataDirLock(tmp_path) as lock:
        with pytest.raises(StoreLocked, match="serves no HTTP"):
            service_of(settings)
        lock.announce("http://127.0.0.1:9")
        assert service_of(settings) == Remote("http://127.0.0.1:9", lock.token, local=True)
        assert service_of(Settings(data_dir=tmp_path, qdrant_url="http://q")) is None


def test_address_needs_a_key() -> None:
    """A service at an address is reached with the key of the settings, which must be there."""
    with pytest.raises(ConfigError, match="RAGOPT_API_KEY"):
        service_at("http://h", Settings())
    assert service_at("http://h/", Settings(api_key=SecretStr("k"))) == Remote("http://h", "k", local=False)
