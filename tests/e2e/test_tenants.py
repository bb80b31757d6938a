"""Every endpoint with a stranger's ids: another tenant gets 404 or nothing, and no word of what is not its own.

The endpoints are those of the OpenAPI page: one that this file does not know fails it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.service import Running, running
from tests.e2e.test_service import data_dir_of
from tests.ragopt.api.fakes import eventually
from tests.ragopt.cli.running import ragopt

CANARY = "quetzalcoatlus"
COLLECTION = "hers"
DOCUMENT = f"plans/{CANARY}"
ASKED = {"question": "What is the secret of the plan?", "collection": COLLECTION}
CHAT = {"model": "ragopt/auto", "messages": [{"role": "user", "content": ASKED["question"]}]}
OWN = {"id": "own", "text": "Our own plan is simple."}


@dataclass(frozen=True)
class Probe:
    """One request of a stranger: what it sends, and the statuses that tell nothing.

    empty: what the whole body must be where the status is a success, None where it may hold the stranger's own.
    """

    statuses: tuple[int, ...]
    body: dict[str, Any] | None = None
    query: dict[str, Any] = field(default_factory=dict)
    empty: object = None


IN_HERS = {"collection": COLLECTION}
PROBES: dict[tuple[str, str], list[Probe]] = {
    ("post", "/ingest"): [Probe((200,), {"documents": [{"id": DOCUMENT, "text": "Mine."}], "collection": COLLECTION})],
    ("get", "/ingest/{job_id}"): [Probe((404,))],
    ("get", "/documents"): [Probe((404,), query=IN_HERS)],
    ("get", "/documents/{document_id}"): [Probe((404,), query=IN_HERS)],
    ("delete", "/documents/{document_id}"): [Probe((404,), query=IN_HERS)],
    ("post", "/documents/{document_id}/release"): [Probe((404,), query=IN_HERS)],
    ("post", "/context"): [Probe((404,), ASKED)],
    ("post", "/answer"): [
        Probe((404,), ASKED),
        Probe((404,), {**ASKED, "stream": True}),
        Probe((200,), {"question": "And what else?", "collection": "own", "conversation_id": CANARY}),
    ],
    ("post", "/batch"): [Probe((404,), {"requests": [{"custom_id": "a", **ASKED}], "collection": COLLECTION})],
    ("get", "/batch"): [Probe((200,), empty={"batches": []})],
    ("get", "/batch/{batch_id}"): [Probe((404,))],
    ("delete", "/batch/{batch_id}"): [Probe((404,))],
    ("get", "/batch/{batch_id}/results"): [Probe((404,))],
    ("post", "/v1/chat/completions"): [
        Probe((404,), {**CHAT, "ragopt": IN_HERS}),
        Probe((404,), {**CHAT, "ragopt": IN_HERS, "stream": True}),
    ],
    ("get", "/v1/models"): [Probe((200,))],
    ("get", "/v1/models/{name}"): [Probe((404,))],
    ("get", "/conversations/{conversation_id}"): [Probe((404,))],
    ("delete", "/conversations/{conversation_id}"): [Probe((404,))],
    ("get", "/experiments"): [Probe((200,), empty={"experiments": []})],
    ("get", "/experiments/{name}"): [Probe((404,))],
    ("post", "/feedback"): [Probe((404,), {"rating": "down"})],
    ("get", "/cache"): [Probe((200,), query=IN_HERS)],
    ("delete", "/cache"): [Probe((200,), empty={"deleted": 0}), Probe((200,), query=IN_HERS, empty={"deleted": 0})],
    ("get", "/keys"): [Probe((200,))],
    ("post", "/keys/{key_id}/rotate"): [Probe((404,), {})],
    ("delete", "/answers"): [Probe((200,), empty={"deleted": 0})],
    ("delete", "/answers/{answer_id}"): [Probe((404,))],
    ("get", "/stats"): [Probe((200,))],
    ("get", "/healthz"): [Probe((200,))],
    ("get", "/readyz"): [Probe((200,))],
    ("get", "/metrics"): [Probe((200,))],
}
OPEN = ("/healthz", "/readyz", "/metrics")
# Probes of these make something of the stranger's own under her ids: they come last.
CHANGES = ("/answer", "/ingest")


@dataclass(frozen=True)
class Hers:
    """What one tenant has: a key, and the ids of all that an endpoint can name."""

    service: Running
    key: str
    ids: dict[str, str]

    def path(self, template: str) -> str:
        """Return the path with her ids in it."""
        return template.format(**self.ids)

    def read(self) -> dict[str, str]:
        """Return what she reads of her own, by path: the same before and after a stranger tried everything."""
        paths = ("/documents/{document_id}?collection=hers", "/conversations/{conversation_id}", "/batch/{batch_id}")
        with self.service.client(self.key) as client:
            return {path: client.get(self.path(path)).text for path in paths}


def key_of(service: Running, tenant: str) -> dict[str, str]:
    """Return a new key of a tenant for everything, with its id."""
    data_dir = data_dir_of(service)
    create = ("keys", "create", "--tenant", tenant, "--name", CANARY, "--scopes", "ingest,query,admin", "--json")
    made = ragopt(*create, "--all-documents", "--data-dir", data_dir, cwd=data_dir)
    assert made.returncode == 0, made.stderr
    found: dict[str, str] = json.loads(made.stdout)
    return found


@pytest.fixture(scope="module")
def hers(module_dir: Path) -> Iterator[Hers]:
    """Yield a service in which a tenant has one of everything, each with the canary in it."""
    folder = module_dir
    Path(folder, "ragopt.toml").write_text("[[collections]]\nkeep_answers = true\n", encoding="utf-8")
    with running(folder / "data") as service:
        key = key_of(service, "acme")
        with service.client(key["key"]) as client:
            yield Hers(service, key["key"], {"key_id": key["id"], **made(client)})


def made(client: httpx.Client) -> dict[str, str]:
    """Return the ids of one of everything."""
    text = f"The secret of the plan is {CANARY}, and nobody else knows."
    document = {"id": DOCUMENT, "text": text, "title": CANARY, "metadata": {"name": CANARY}}
    ingested = client.post("/ingest", json={"documents": [document], "collection": COLLECTION}).json()
    answers: list[dict[str, Any]] = []

    def answered() -> bool:
        # A busy machine may be too late to keep the conversation, which is no answer then.
        told = client.post("/answer", json={**ASKED, "conversation_id": CANARY})
        answers.extend([told.json()] if told.is_success else [])
        return told.is_success

    eventually(answered, within_s=60)
    assert CANARY in answers[0]["answer"]
    requests = [{"custom_id": CANARY, **ASKED}]
    batch = client.post("/batch", json={"requests": requests, "collection": COLLECTION}).json()["id"]
    eventually(lambda: client.get(f"/batch/{batch}").json()["status"] == "done", within_s=60)
    assert CANARY in client.get(f"/batch/{batch}/results").text
    return {
        "job_id": ingested["job_id"],
        "document_id": DOCUMENT,
        "batch_id": batch,
        "conversation_id": CANARY,
        "answer_id": answers[0]["id"],
        "name": CANARY,
    }


def test_every_endpoint_is_probed(hers: Hers) -> None:
    """An endpoint that is new on the OpenAPI page needs its probe here."""
    with hers.service.client() as client:
        paths = client.get("/openapi.json").json()["paths"]
    found = {(method, path) for path, item in paths.items() for method in item}
    assert found == set(PROBES)


def test_a_stranger_gets_nothing_by_any_endpoint(hers: Hers) -> None:
    """Every endpoint × her ids: 404 or what is the stranger's own, never the canary, and hers stays as it is."""
    before = hers.read()
    assert all(CANARY in text for path, text in before.items() if "batch" not in path)
    with hers.service.client(key_of(hers.service, "globex")["key"]) as client:
        client.post("/ingest", json={"documents": [OWN], "collection": "own"}).raise_for_status()
        harmless = [item for item in PROBES.items() if item[0][1] not in CHANGES]
        changing = [item for path in CHANGES for item in PROBES.items() if item[0][1] == path]
        for (method, template), probes in (*harmless, *changing):
            for probe in probes:
                told = probed(client, hers, (method, template), probe)
                assert told.status_code in probe.statuses, (method, template, told.text)
                assert not leaks(told, template), (method, template, told.text)
                if probe.empty is not None:
                    assert told.json() == probe.empty, (method, template)
    assert hers.read() == before


def probed(client: httpx.Client, hers: Hers, endpoint: tuple[str, str], probe: Probe) -> httpx.Response:
    """Return the response to one probe."""
    method, template = endpoint
    body = probe.body
    if template == "/feedback" and body is not None:
        body = {**body, "answer_id": hers.ids["answer_id"]}
    return client.request(method, hers.path(template), json=body, params=probe.query or None)


def leaks(told: httpx.Response, template: str) -> bool:
    """Return whether a response holds the canary, beyond a path or an id that the stranger named itself."""
    text = told.text
    if told.headers.get("content-type", "").startswith("application/problem+json"):
        problem = told.json()
        # It says again what was asked for.
        text = json.dumps({name: value for name, value in problem.items() if name not in ("instance", "detail")})
    if template in ("/ingest", "/answer", "/keys"):
        text = text.replace(f'"{DOCUMENT}"', "").replace(f'"conversation_id":"{CANARY}"', "")
        text = text.replace(f'"name":"{CANARY}"', "")
    return CANARY in text


def test_no_endpoint_answers_without_a_key(hers: Hers) -> None:
    """But for those that say how the service does, and none of them says whose it is."""
    with hers.service.client("rag_00000000_" + "A" * 43) as client:
        for (method, template), probes in PROBES.items():
            told = probed(client, hers, (method, template), probes[0])
            assert told.status_code == (200 if template in OPEN else 401), (method, template)
            assert CANARY not in told.text or template not in OPEN
            assert "acme" not in told.text
