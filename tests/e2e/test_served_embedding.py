"""The whole service with its embedding model behind an endpoint, which dies and comes back."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from starlette.responses import JSONResponse, Response

from tests.e2e.service import running
from tests.embedding_endpoint import embedding_endpoint
from tests.ragopt.cli.running import ragopt_here

LEAVE = {"id": "leave", "text": "Every employee has 27 vacation days a year."}
LUNCH = {"id": "lunch", "text": "Lunch is served at noon in the garden."}
ABOUT_LEAVE = {"question": "How many vacation days does an employee have?"}
ABOUT_LUNCH = {"question": "Where is lunch served?"}


def test_an_index_moves_to_a_served_model(tmp_path: Path) -> None:
    """What this machine embedded, the same model behind an endpoint reads and adds to; while it is down, all say so."""
    data = tmp_path / "data"
    (tmp_path / "leave.jsonl").write_text(json.dumps(LEAVE))
    assert ragopt_here("ingest", "leave.jsonl", "--data-dir", data, cwd=tmp_path).returncode == 0
    with embedding_endpoint() as endpoint:
        with running(data, RAGOPT_EMBEDDING_MODEL=endpoint.url) as made, made.client() as client:
            assert "27" in client.post("/answer", json=ABOUT_LEAVE).json()["answer"]
            again = client.post("/ingest", json={"documents": [LEAVE, LUNCH]}).json()
            assert [item["status"] for item in again["documents"]] == ["unchanged", "created"]
            assert "garden" in client.post("/answer", json=ABOUT_LUNCH).json()["answer"]
            endpoint.answer = refuses
            assert_unavailable(client)
            endpoint.answer = None
            assert client.get("/readyz").json()["status"] == "ok"
            assert "garden" in client.post("/answer", json={"question": "In which place is lunch?"}).json()["answer"]
            assert client.get("/documents/tea").status_code == 404
        doctor = ragopt_here("doctor", "--data-dir", data, cwd=tmp_path, RAGOPT_EMBEDDING_MODEL=endpoint.url)
    assert f"{endpoint.url} answers, 384 numbers a vector" in doctor.stdout


def refuses(_: str) -> Response:
    """Say to every path what is not asked again."""
    return JSONResponse({}, 403)


def assert_unavailable(client: httpx.Client) -> None:
    """Assert that readiness, a question and a new document say that the model is down: unscreened, none is answered."""
    ready = client.get("/readyz")
    assert (ready.status_code, ready.json()["checks"]["embedder"]) == (503, "down")
    tea = {"documents": [{"id": "tea", "text": "Tea is free."}]}
    for refused in (client.post("/answer", json={"question": "Who serves lunch?"}), client.post("/ingest", json=tea)):
        assert (refused.status_code, refused.json()["code"]) == (503, "embedding_unavailable")
        assert refused.headers["Retry-After"]
