"""The client side of a running service: where it is, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import httpx

from indexes.errors import StoreLocked
from indexes.facets import NO_FILTER, MetadataFilter
from indexes.records import Document, IngestFailure, IngestResult, IngestStatus
from ragopt.config import Settings
from ragopt.errors import ConfigError, RagoptError
from ragopt.state.data_dir import read_running

CONNECT_TIMEOUT_S = 10.0
# A batch of documents is embedded before its answer comes; a slow machine may need this long for 8 MB.
READ_TIMEOUT_S = 1_800.0


class Unreachable(RagoptError):
    """The service does not answer: it is gone, or is being restarted."""


@dataclass(frozen=True, slots=True)
class Remote:
    """A running service and a key for it. `local` is one on this machine, reached past any proxy."""

    url: str
    key: str
    local: bool

    def ingest(self, documents: Sequence[Document], *, collection: str) -> list[IngestResult]:
        """Return what became of each document, in order. Raises: `RagoptError`."""
        items = [
            {
                "id": item.id,
                "text": item.text,
                "title": item.title,
                "metadata": dict(item.metadata),
                "access": None if item.access is None else [*item.access],
            }
            for item in documents
        ]
        with self._client() as client:
            response = client.post("/ingest", json={"documents": items, "collection": collection})
        content = response.json()
        if response.is_success:
            return [result_of(item) for item in content["documents"]]
        failed = {item.get("document_id"): item for item in content.get("errors", ())}
        if failed.keys() >= {item.id for item in documents}:
            return [failure_of(item.id, failed[item.id]["code"], failed[item.id]["detail"]) for item in documents]
        raise problem_error(self.url, content)

    def answer(
        self, question: str, *, collection: str, matching: MetadataFilter = NO_FILTER
    ) -> Iterator[tuple[str, dict[str, object]]]:
        """Yield the name and the data of each event of a streamed answer. Raises: `RagoptError`."""
        wanted = {key: [*values] for key, values in matching.items()}
        asked = {"question": question, "collection": collection, "filter": wanted, "stream": True}
        with self._client() as client, client.stream("POST", "/answer", json=asked) as response:
            if not response.is_success:
                raise problem_error(self.url, json.loads(response.read()))
            name = ""
            for line in response.iter_lines():
                field, _, value = line.partition(": ")
                if field == "event":
                    name = value
                elif field == "data":
                    yield name, json.loads(value)

    def get(self, path: str) -> dict[str, object]:
        """Return the JSON object at a path. Raises: `RagoptError`; `Unreachable` if the service does not answer."""
        with self._client() as client:
            return content_of(self.url, client.get(path))

    def post(self, path: str, body: object, *, idempotency_key: str) -> dict[str, object]:
        """Return the JSON object that a JSON body is answered with. Raises: as `get`."""
        with self._client() as client:
            return content_of(self.url, client.post(path, json=body, headers={"Idempotency-Key": idempotency_key}))

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of a path, each with its end. Raises: as `get`."""
        with self._client() as client, client.stream("GET", path) as response:
            if not response.is_success:
                raise problem_error(self.url, json.loads(response.read()))
            for line in response.iter_lines():
                yield line.encode() + b"\n"

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        headers = {"Authorization": f"Bearer {self.key}"}
        try:
            with httpx.Client(base_url=self.url, headers=headers, timeout=timeout, trust_env=not self.local) as client:
                yield client
        except httpx.HTTPError as error:
            raise Unreachable(f"{self.url} does not answer: {error or type(error).__name__}") from error
        except ValueError as error:
            raise RagoptError(f"{self.url} does not answer as ragopt does: {error}") from error


def service_at(url: str, settings: Settings) -> Remote:
    """Return the service at `url`, with the key of the settings. Raises: `ConfigError` without one."""
    if settings.api_key is None:
        raise ConfigError("RAGOPT_API_KEY: set it to a key of the service at --url")
    return Remote(url.rstrip("/"), settings.api_key.get_secret_value(), local=False)


def service_of(settings: Settings) -> Remote | None:
    """Return the service that holds the data dir; None if nobody does, or nothing in it belongs to one process.

    Raises: `StoreLocked` if another command holds it.
    """
    if settings.qdrant_url:
        return None
    holder = read_running(settings.data_dir)
    if holder is not None and not holder.url:
        raise StoreLocked(f"the data dir {settings.data_dir} is held by {holder.describe()}; wait until it is done")
    return Remote(holder.url, holder.token, local=True) if holder else None


def content_of(url: str, response: httpx.Response) -> dict[str, object]:
    """Return the JSON object of a response. Raises: `RagoptError` for a problem."""
    content = response.json()
    if not response.is_success:
        raise problem_error(url, content)
    return cast("dict[str, object]", content)


def problem_error(url: str, content: dict[str, object]) -> RagoptError:
    """Return the error that a problem object describes."""
    return RagoptError(f"{url} answers {content.get('code', 'an error')}: {content.get('detail', '')}")


def result_of(item: dict[str, object]) -> IngestResult:
    """Return the result that a service reports of one document."""
    error = cast("dict[str, str] | None", item["error"])
    return IngestResult(
        id=str(item["id"]),
        version=cast("int | None", item["version"]),
        status=cast("IngestStatus", item["status"]),
        chunks=cast("int", item["chunks"]),
        tokens=cast("int", item["tokens"]),
        error=IngestFailure(error["code"], error["detail"]) if error else None,
    )


def failure_of(document_id: str, code: str, detail: str) -> IngestResult:
    """Return a failed result."""
    return IngestResult(document_id, None, "failed", 0, 0, IngestFailure(code, detail))
