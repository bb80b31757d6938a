"""A stranger's hour: what README and docs say to paste is pasted, into a shell beside one real service."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from eval.stub import serve_in_thread
from ragopt.config import Settings, load_settings
from ragopt.wiring.books import opened_answers, opened_keys
from tests.e2e.desk import Desk, install
from tests.e2e.service import running
from tests.environment import environment
from tests.house.source import ROOT
from tests.indexes.sample_files import pdf_bytes
from tests.pages import EVERY_PAGE, Block, blocks
from tests.ragopt.api.fakes import eventually

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on PATH")

# What a block may hold that is not pasted here, and why.
ELSEWHERE = {
    r"^make ": "installs; `.ci/run` does it",
    r"docker|kubectl": "needs Docker, or a cluster",
    r"pip install": "installs",
    r"ragopt serve": "a second service; the one of these tests was started so",
    r"ragopt migrate": "needs the servers it copies to",
    r"^export \w+=[^\n]*\n*$": "settings alone do nothing",
    r"python -m eval (?!report --since)": "measures for minutes; tests/test_docs.py parses it",
    r'"url": "https': "fetches from a host elsewhere, and is off by default",
    r":9000": "speaks to the provider stub; tests/eval/stub does",
    r"…\n": "a file to fill in",
}
# Said where Redis takes longer than the service waits for it: the machine is too busy, the page is right.
BUSY, TRIES = ('"status":503', "Redis does not answer"), 5
HANDBOOK = """# Handbook

Holidays are 30 days a year. Unused days lapse in March.

## Expenses

Receipts are due within four weeks. The team lead approves them.
"""
SETTINGS = """
[audit]
enabled = true

[[collections]]
keep_answers = true

[[models]]
name = "small"
provider = "openai"
model = "gpt-4o-mini"
base_url = "{url}"
"""
QUESTION = {"question": "How many days are holidays?"}


def pasted() -> list[Block]:
    """Return the shell blocks of every page that can be pasted beside a service.

    Of blocks that only make keys, the first is enough: a command takes half a second, and all are parsed elsewhere.
    """
    found = [block for page in EVERY_PAGE for block in blocks(page, "sh")]
    able = [block for block in found if not any(re.search(sign, block.body, re.MULTILINE) for sign in ELSEWHERE)]
    keys = [block for block in able if block.body.startswith("ragopt keys create")]
    return [block for block in able if block not in keys[1:]]


def prepared(desk: Desk) -> dict[str, str]:
    """Return the ids that pages show and what they are here: documents, a conversation and a liked answer are there."""
    with desk.service.client() as client:
        document = {"id": "handbook", "text": HANDBOOK}
        job = said_by(client, "/ingest", {"documents": [document], "wait": False})
        for collection in ("handbook", "mail"):
            said_by(client, "/ingest", {"documents": [document], "collection": collection})
        asked = {"question": "Who approves receipts?", "collection": "handbook", "cache": "off"}
        answer = said_by(client, "/answer", {**asked, "conversation_id": "my-chat"})
        said_by(client, "/feedback", {"answer_id": answer["id"], "rating": "up"})
    with environment():
        settings = load_settings(data_dir=desk.folder / ".ragopt")
    eventually(lambda: answer["id"] in asyncio.run(liked(settings)), within_s=60)
    key_id = asyncio.run(made_key(settings))
    return {"ans_…": str(answer["id"]), "5f0c…": str(job["job_id"]), "1f0c9a2b": key_id}


def said_by(client: httpx.Client, path: str, body: dict[str, object]) -> dict[str, object]:
    """Return the content of a response; where Redis is too slow on a busy machine, the request is made again."""
    for _ in range(TRIES):
        response = client.post(path, json=body)
        if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
    return dict(response.raise_for_status().json())


async def made_key(settings: Settings) -> str:
    """Return the id of a new key that may ask."""
    async with opened_keys(settings) as keys:
        key, _ = await keys.create("default", "desk", scopes=["query"])
        return key.id


async def liked(settings: Settings) -> list[str]:
    """Return the ids of the kept answers that were rated up."""
    async with opened_answers(settings) as (answers, _):
        return [kept.id for kept in await answers.all("default") if kept.liked]


@pytest.fixture(scope="module")
def desk(module_dir: Path) -> Iterator[Desk]:
    """Yield a desk with the files that the pages speak of."""
    folder = module_dir
    install(folder)
    (folder / "handbook").mkdir()
    (folder / "handbook" / "handbook.md").write_text(HANDBOOK)
    (folder / "contract.pdf").write_bytes(pdf_bytes(["The contract runs for a year."]))
    (folder / "questions.jsonl").write_text(json.dumps(QUESTION) + "\n")
    for name in ("CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / name, folder)
    with serve_in_thread() as stub:
        (folder / "ragopt.toml").write_text(SETTINGS.format(url=stub.openai_url))
        with running(folder / ".ragopt", "--dev", "--sample", str(folder / "handbook")) as service:
            yield Desk(folder, service)


@pytest.mark.parametrize("block", pasted(), ids=lambda block: block.name)
def test_a_block_works_as_pasted(desk: Desk, block: Block) -> None:
    """The shell ends without a failure, and no response is a problem."""
    for _ in range(TRIES):
        ended = desk.paste(block.body, prepared(desk))
        if not any(sign in ended.stdout + ended.stderr for sign in BUSY):
            break
    assert ended.returncode == 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert not is_problem(ended.stdout), ended.stdout


def is_problem(text: str) -> bool:
    """Return whether a response is a problem object."""
    try:
        body = json.loads(text)
    except ValueError:
        return False
    return isinstance(body, dict) and isinstance(body.get("status"), int) and body["status"] >= 400


def test_every_kind_of_command_is_pasted() -> None:
    """Each kind of command and of request is pasted; of README it is the first curl line, an ingest and a report."""
    found = pasted()
    body = "".join(block.body for block in found)
    for said in ("ragopt ingest", "ragopt ask", "/answer", "/context", "ragopt keys create", "ragopt export", "/batch"):
        assert said in body
    assert len(found) >= 24
    readme = "".join(block.body for block in found if block.page.name == "README.md")
    assert all(said in readme for said in ("/answer", "ragopt ingest", "python -m eval report"))
