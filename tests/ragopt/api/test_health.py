"""Probes: alive or not, ready or not, and what the service says of itself."""

from __future__ import annotations

import pytest

from tests.ragopt.api.fakes import Served

OK = {"index": "ok", "redis": "ok", "embedder": "ok"}


@pytest.mark.parametrize(
    ("checks", "status", "word"),
    [
        (OK, 200, "ok"),
        ({**OK, "redis": "down"}, 200, "degraded"),
        ({**OK, "index": "down"}, 503, "down"),
        ({**OK, "embedder": "loading"}, 503, "down"),
        ({**OK, "redis": "down", "index": "down"}, 503, "down"),
    ],
)
def test_readiness_follows_the_dependencies(http: Served, checks: dict[str, str], status: int, word: str) -> None:
    """Without Redis the service is degraded but ready; without index or embedder it is not ready."""
    http.service.checks = checks
    response = http.get("/readyz", key=None)
    assert (response.status_code, response.json()) == (status, {"status": word, "checks": checks})


def test_process_is_alive_whatever_it_depends_on(http: Served) -> None:
    """/healthz needs no key and no dependency."""
    http.service.checks = {"index": "down"}
    assert http.get("/healthz", key=None).json()["status"] == "ok"


def test_openapi_describes_every_path(http: Served) -> None:
    """The description names every path of the contract, both kinds of ingest, and how to present a key."""
    described = http.get("/openapi.json", key=None).json()
    assert set(described["paths"]) >= {
        "/ingest",
        "/ingest/{job_id}",
        "/documents",
        "/documents/{document_id}",
        "/documents/{document_id}/release",
        "/context",
        "/conversations/{conversation_id}",
        "/answer",
        "/stats",
        "/v1/chat/completions",
        "/v1/models",
        "/v1/models/{name}",
        "/healthz",
        "/metrics",
        "/readyz",
    }
    body = described["paths"]["/ingest"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert "text" in body["application/json"]["schema"]["properties"]["documents"]["items"]["properties"]
    assert described["paths"]["/answer"]["post"]["security"] == [{"HTTPBearer": []}]
    assert http.get("/docs", key=None).status_code == 404
