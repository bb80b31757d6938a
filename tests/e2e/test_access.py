"""Access lists over HTTP: two keys with different groups never get each other's text, by any endpoint."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.principals import ACT_AS
from tests.e2e.service import Running, running
from tests.e2e.test_service import data_dir_of
from tests.environment import campaign_examples
from tests.ragopt.api.fakes import eventually
from tests.ragopt.cli.running import ragopt

# Names that look alike, hold what filters, headers and JSON give a meaning to, or are reserved elsewhere.
GROUPS = ["hr", "HR", "h r", "hr,eng", "*", "everybody", 'hr"]', "hr%2Ceng", "日本", "ｈｒ", "group:hr", "all"]
PRINCIPALS = [f"group:{name}" for name in GROUPS] + ["user:hr", "user:*"]
QUESTION = "When does the office close?"
CANARY = re.compile(r"canary\d+")


@dataclass
class Office:
    """A service, a key for all documents, and what each document of a collection is known to be."""

    service: Running
    key: str
    collection: str = ""
    lists: dict[str, tuple[str, ...] | None] = field(default_factory=dict)
    canaries: dict[str, str] = field(default_factory=dict)
    asked: int = 0

    def client(self, principals: Sequence[str] | None) -> httpx.Client:
        """Return a client that acts for the principals, for everything without any."""
        client = self.service.client(self.key)
        if principals is not None:
            client.headers[ACT_AS] = ", ".join(quote(name, safe="") for name in principals)
        return client

    def readable(self, principals: Sequence[str] | None) -> set[str]:
        """Return the canaries of the documents that the principals may read."""
        return {
            self.canaries[name]
            for name, access in self.lists.items()
            if access is None or principals is None or set(access) & set(principals)
        }


@pytest.fixture(scope="module")
def service(module_dir: Path) -> Iterator[Running]:
    """Yield a fresh service with an audit log."""
    with running(module_dir / "data", RAGOPT_AUDIT__ENABLED="true") as made:
        yield made


def key_of(service: Running, *arguments: str) -> str:
    """Return a new key of the tenant `acme` for ingest and questions."""
    data_dir = data_dir_of(service)
    made = ragopt(
        "keys",
        "create",
        "--tenant",
        "acme",
        "--name",
        "test",
        "--json",
        *arguments,
        "--data-dir",
        data_dir,
        cwd=data_dir,
    )
    assert made.returncode == 0, made.stderr
    return str(json.loads(made.stdout)["key"])


@pytest.fixture(scope="module")
def office(service: Running) -> Office:
    """Return the service with a key that reads everything."""
    return Office(service, key_of(service, "--all-documents"))


def put(office: Office, name: str, access: Sequence[str] | None) -> None:
    """Ingest a document under a list, with the text that it had or a new one."""
    text = (
        f"The office of {name} closes at ten, says {office.canaries.setdefault(name, f'canary{len(office.canaries)}')}."
    )
    document = {"id": name, "text": text} | ({} if access is None else {"access": list(access)})
    with office.client(None) as client:
        client.post("/ingest", json={"documents": [document], "collection": office.collection}).raise_for_status()
    office.lists[name] = None if access is None else tuple(access)


def ask(office: Office, principals: Sequence[str] | None, way: str) -> set[str]:
    """Return the canaries in everything that comes back one way."""
    collection, asked = office.collection, {"question": QUESTION, "collection": office.collection, "token_budget": 2000}
    chat = {"model": "ragopt/auto", "messages": [{"role": "user", "content": QUESTION}]}
    with office.client(principals) as client:
        match way:
            case "context":
                response = client.post("/context", json=asked)
            case "answer":
                response = client.post("/answer", json=asked)
            case "stream":
                response = client.post("/answer", json={**asked, "stream": True})
            case "chat":
                response = client.post("/v1/chat/completions", json={**chat, "ragopt": {"collection": collection}})
            case "documents":
                response = client.get("/documents", params={"collection": collection})
                assert {item["id"] for item in response.json()["documents"]} == {
                    name for name, canary in office.canaries.items() if canary in office.readable(principals)
                }
            case _:
                each = [client.get(f"/documents/{name}", params={"collection": collection}) for name in office.lists]
                return {canary for response in each for canary in CANARY.findall(response.text)}
    assert response.is_success, response.text
    return set(CANARY.findall(response.text))


LISTS = st.one_of(st.none(), st.lists(st.sampled_from(PRINCIPALS), max_size=3, unique=True))
READERS = st.one_of(st.none(), st.lists(st.sampled_from(PRINCIPALS), max_size=3, unique=True))
STEPS = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(["one", "two", "three"]), LISTS),
    st.tuples(st.just("ask"), st.sampled_from(["context", "answer", "stream", "chat", "documents", "each"]), READERS),
)


@pytest.mark.campaign
@settings(max_examples=campaign_examples(8, times=25))
@given(st.lists(STEPS, min_size=6, max_size=14))
def test_nobody_gets_what_no_list_gives_them(office: Office, steps: list[tuple[str, str, list[str] | None]]) -> None:
    """Whatever was ingested under which list, whoever asks, cached or not: no text that the list withholds.

    What is asked for by id is there exactly where the list gives it.
    """
    office.asked += 1
    office.collection, office.lists, office.canaries = f"c{office.asked}", {}, {}
    put(office, "first", None)
    for step, what, principals in steps:
        if step == "put":
            put(office, what, principals)
            continue
        seen, allowed = ask(office, principals, what), office.readable(principals)
        assert seen <= allowed
        if what == "each":
            assert seen == allowed


def test_a_key_reads_by_its_groups_and_may_act_for_less(service: Running, office: Office) -> None:
    """Groups of a key, all documents, none; a request narrows its key and never widens it."""
    office.collection, office.lists, office.canaries = "keys", {}, {}
    lists: dict[str, list[str] | None] = {"open": None, "hr": ["group:hr"], "ann": ["user:ann"], "nobody": []}
    for name, access in lists.items():
        put(office, name, access)
    keys = {"plain": key_of(service), "hr": key_of(service, "--groups", "hr, eng"), "all": office.key}

    def listed(key: str, **headers: str) -> set[str]:
        with service.client(keys[key]) as client:
            found = client.get("/documents", params={"collection": "keys"}, headers=headers).json()["documents"]
        return {item["id"] for item in found}

    assert listed("plain") == {"open"}
    assert listed("hr") == {"open", "hr"}
    assert listed("all") == {"open", "hr", "ann", "nobody"}
    assert listed("plain", **{ACT_AS: "group:hr, user:ann"}) == {"open"}
    assert listed("hr", **{ACT_AS: "user:ann, group:eng"}) == {"open"}
    assert listed("all", **{ACT_AS: "user:ann"}) == {"open", "ann"}
    assert listed("all", **{ACT_AS: ""}) == {"open"}
    with service.client(keys["all"]) as client:
        for wrong in ("hr", "group:", "group: hr", "role:hr", "user:" + "x" * 300, "user:%ff"):
            refused = client.get("/documents", params={"collection": "keys"}, headers={ACT_AS: wrong})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_a_conversation_is_for_who_may_read_all_of_it(service: Running, office: Office) -> None:
    """Who may not read what an answer of it was made of gets 404, reading, going on or deleting."""
    office.collection, office.lists, office.canaries = "talk", {}, {}
    put(office, "hr", ["group:hr"])
    asked = {"question": QUESTION, "collection": "talk", "conversation_id": "talk-1"}
    hr, eng, plain = key_of(service, "--groups", "hr"), key_of(service, "--groups", "eng"), key_of(service)

    def told(client: httpx.Client, *requests: tuple[str, str, object]) -> list[httpx.Response]:
        # A busy machine may be too late to reach the conversation, and says so: asked again.
        found: list[httpx.Response] = []

        def reached() -> bool:
            found[:] = [client.request(method, path, json=body) for method, path, body in requests]
            return all(response.status_code != HTTPStatus.SERVICE_UNAVAILABLE for response in found)

        eventually(reached, within_s=60)
        return found

    read, go_on = ("GET", "/conversations/talk-1", None), ("POST", "/answer", asked)
    delete = ("DELETE", "/conversations/talk-1", None)
    with service.client(hr) as client:
        assert all(CANARY.search(response.text) for response in told(client, go_on, read))
    for key in (eng, plain):
        with service.client(key) as client:
            refused = told(client, read, go_on, delete)
            assert [response.status_code for response in refused] == [404, 404, 404]
            assert not any(CANARY.search(response.text) for response in refused)
    with office.client(["group:hr", "group:eng"]) as client:
        assert told(client, delete)[0].status_code == 204


def test_a_batch_is_for_who_may_read_all_of_it(service: Running, office: Office) -> None:
    """Its results, its state and its place in the list; the same Idempotency-Key of another reader is refused."""
    office.collection, office.lists, office.canaries = "batch", {}, {}
    put(office, "hr", ["group:hr"])
    hr, eng = key_of(service, "--groups", "hr"), key_of(service, "--groups", "eng")
    body = {"requests": [{"custom_id": "a", "question": QUESTION}], "collection": "batch"}
    with service.client(hr) as client:
        made = client.post("/batch", json=body, headers={"Idempotency-Key": "same"}).json()["id"]
        eventually(lambda: client.get(f"/batch/{made}").json()["status"] == "done", within_s=30)
        assert CANARY.search(client.get(f"/batch/{made}/results").text)
    with service.client(eng) as client:
        paths = (f"/batch/{made}", f"/batch/{made}/results")
        assert [client.get(path).status_code for path in paths] == [404, 404]
        assert client.delete(f"/batch/{made}").status_code == 404
        assert made not in client.get("/batch").text
        conflict = client.post("/batch", json=body, headers={"Idempotency-Key": "same"})
        assert (conflict.status_code, conflict.json()["code"]) == (409, "idempotency_conflict")


def test_a_background_ingest_writes_as_its_key(service: Running, office: Office) -> None:
    """It may not write what its key could not read, and tells of restricted documents only to who may read them."""
    office.collection, office.lists, office.canaries = "jobs", {}, {}
    put(office, "hr", ["group:hr"])
    hr, eng = key_of(service, "--groups", "hr"), key_of(service, "--groups", "eng")
    stolen = {"documents": [{"id": "hr", "text": "Replaced."}], "collection": "jobs", "wait": False}
    with service.client(eng) as client:
        job = client.post("/ingest", json=stolen).json()["job_id"]
        eventually(lambda: client.get(f"/ingest/{job}").json()["status"] == "done", within_s=30)
        (refused,) = client.get(f"/ingest/{job}").json()["documents"]
        assert refused["error"]["code"] == "access_denied"
        at_once = client.post("/ingest", json={**stolen, "wait": True})
        assert (at_once.status_code, at_once.json()["code"]) == (403, "access_denied")
    restricted = {"id": "new", "text": "Held back.", "access": ["group:hr"]}
    with service.client(hr) as client:
        job = client.post("/ingest", json={**stolen, "documents": [restricted]}).json()["job_id"]
        eventually(lambda: client.get(f"/ingest/{job}").json()["status"] == "done", within_s=30)
        assert CANARY.search(client.get("/documents/hr", params={"collection": "jobs"}).text)
    with service.client(eng) as client:
        assert client.get(f"/ingest/{job}").status_code == 404


def test_a_list_is_shown_as_far_as_it_concerns_the_key(service: Running, office: Office) -> None:
    """Who may ingest sees all of it; others their own principals; null is everybody's."""
    office.collection, office.lists, office.canaries = "lists", {}, {}
    put(office, "open", None)
    put(office, "both", ["group:hr", "group:eng"])

    def shown(key: str, name: str) -> object:
        with service.client(key) as client:
            return client.get(f"/documents/{name}", params={"collection": "lists"}).json()["access"]

    reader = key_of(service, "--groups", "eng", "--scopes", "query")
    assert [shown(office.key, "open"), shown(reader, "open")] == [None, None]
    assert [shown(office.key, "both"), shown(reader, "both")] == [["group:eng", "group:hr"], ["group:eng"]]


def test_readers_share_what_is_everybodys(service: Running, office: Office) -> None:
    """In a collection without lists, a cached answer is served to every reader of the tenant."""
    office.collection, office.lists, office.canaries = "shared", {}, {}
    put(office, "open", None)
    asked = {"question": QUESTION, "collection": "shared"}
    seen: list[str] = []

    def hit(principals: Sequence[str] | None, cache: str) -> bool:
        # A busy machine may be too late to look, or to keep; nobody but the first reader keeps anything here.
        with office.client(principals) as client:
            seen.append(client.post("/answer", json={**asked, "cache": cache}).json()["cache"]["status"])
        return seen[-1] == "hit"

    eventually(lambda: hit(None, "on"), within_s=30)
    for principals in (["user:ann"], ["group:hr"], []):
        eventually(partial(hit, principals, "read_only"), within_s=30)
    assert seen.count("hit") == 4


def test_a_wrong_list_is_refused(office: Office) -> None:
    """A name without its kind, a blank one, or one that is too long is an error that says what is expected."""
    for wrong in ("hr", "group:", "group: hr", "group:hr\n", "user:\ud800", "group:" + "x" * 260):
        body = {"documents": [{"id": "a", "text": "Text.", "access": [wrong]}]}
        with office.client(None) as client:
            refused = client.post("/ingest", content=json.dumps(body), headers={"Content-Type": "application/json"})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
        assert "group:" in refused.json()["detail"]


def test_keys_say_what_they_read(service: Running, tmp_path: Path) -> None:
    """The list of keys tells it; groups and all documents at once is refused."""
    data_dir = data_dir_of(service)
    key_of(service, "--groups", "zeta,alpha")
    listed = json.loads(ragopt("keys", "list", "--json", "--data-dir", data_dir, cwd=tmp_path).stdout)
    reads = [key["reads"] for key in listed]
    assert "all" in reads
    assert ["group:alpha", "group:zeta"] in reads
    create = ("keys", "create", "--tenant", "acme", "--name", "n", "--data-dir", data_dir)
    refused = ragopt(*create, "--groups", "a", "--all-documents", cwd=tmp_path)
    assert refused.returncode != 0
    assert "--all-documents" in refused.stderr


def test_a_key_is_rotated_beside_a_running_service(service: Running, tmp_path: Path) -> None:
    """Both secrets work at once and are one key; a third is refused; the old one can be ended early."""
    data_dir = data_dir_of(service)
    first = key_of(service)
    key_id = first.split("_")[1]

    def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
        return ragopt("keys", *arguments, "--data-dir", data_dir, cwd=tmp_path)

    def status(key: str) -> int:
        with service.client(key) as client:
            return client.get("/documents", params={"collection": "keys"}).status_code

    assert status(first) == 200
    rotated = json.loads(keys("rotate", key_id, "--overlap", "1h", "--json").stdout)
    assert rotated["key"].startswith(f"rag_{key_id}_")
    assert [status(first), status(rotated["key"])] == [200, 200]
    assert "2, the older until" in keys("list").stdout
    third = keys("rotate", key_id)
    assert third.returncode != 0
    assert "--old-secret" in third.stderr
    assert keys("revoke", key_id, "--old-secret").returncode == 0
    eventually(lambda: status(first) == 401, within_s=20)
    assert status(rotated["key"]) == 200
    assert keys("rotate", "00000000").returncode != 0


def test_the_audit_log_says_for_whom(service: Running, office: Office) -> None:
    """The line of an answer, and of passages, names the principals of the request, whatever they gave it."""
    office.collection, office.lists, office.canaries = "audited", {}, {}
    put(office, "hr", ["group:hr"])
    for way in ("answer", "context"):
        ask(office, ["group:hr", "user:zoe"], way)
    log = data_dir_of(service) / "audit.jsonl"

    def told() -> list[str]:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        return [line["act"] for line in lines if line.get("acting_for") == ["group:hr", "user:zoe"]]

    eventually(lambda: len(told()) >= 2)
    assert sorted(told()) == ["answer", "context"]
