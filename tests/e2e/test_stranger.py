"""A stranger's hour: what README and docs say to paste is pasted, into a shell beside one real service."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.service import Running, running
from tests.house.source import ROOT
from tests.indexes.sample_files import pdf_bytes
from tests.pages import EVERY_PAGE, Block, blocks

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on PATH")

# What a block may hold that is not pasted here, and why.
ELSEWHERE = {
    "make ": "installs; `.ci/run` does it",
    "docker": "needs Docker",
    "kubectl": "needs a cluster",
    "pip install": "installs",
    "serve": "a second service; the one of these tests was started so",
    "ragopt migrate": "needs the servers it copies to",
    "python -m eval": "measures for minutes; its arguments are parsed in tests/test_doc_commands.py",
    ":9000": "speaks to the provider stub; tests/eval/stub does",
    "…\n": "a file to fill in",
}
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
"""
QUESTION = {"question": "How many days are holidays?"}


def pasted() -> list[Block]:
    """Return the shell blocks of every page that can be pasted beside a service."""
    found = [block for page in EVERY_PAGE for block in blocks(page, "sh")]
    return [block for block in found if not any(sign in block.body for sign in ELSEWHERE)]


@dataclass(frozen=True)
class Desk:
    """A folder with what a reader would have in it, and a running service."""

    folder: Path
    service: Running

    def paste(self, text: str) -> subprocess.CompletedProcess[str]:
        """Return how a shell ended that was given a block, with the service's own port, ids and key in it."""
        answer_id, job_id = self.prepared()
        port = self.service.url.rpartition(":")[2]
        for shown, real in (("127.0.0.1:8080", f"127.0.0.1:{port}"), ("ans_…", answer_id), ("5f0c…", job_id)):
            text = text.replace(shown, real)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("RAGOPT_", "OPENAI_"))}
        own = {"PATH": f"{self.folder / '.venv/bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        keys = {"KEY": self.service.key, "RAGOPT_API_KEY": self.service.key}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env={**kept, **own, **keys, "no_proxy": "127.0.0.1"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def prepared(self) -> tuple[str, str]:
        """Return the ids of an answer and of a job, once a document and a conversation are there."""
        with self.service.client() as client:
            document = {"id": "handbook", "text": HANDBOOK}
            job = client.post("/ingest", json={"documents": [document], "wait": False}).json()
            asked = {"question": "Who approves receipts?", "conversation_id": "my-chat"}
            answer = client.post("/answer", json=asked).json()
        return str(answer["id"]), str(job["job_id"])


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Yield a desk with the files that the pages speak of."""
    folder = tmp_path_factory.mktemp("stranger")
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "python").symlink_to(sys.executable)
    (programs / "ragopt").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m ragopt "$@"\n')
    (programs / "ragopt").chmod(0o755)
    (folder / "handbook").mkdir()
    (folder / "handbook" / "handbook.md").write_text(HANDBOOK)
    (folder / "contract.pdf").write_bytes(pdf_bytes(["The contract runs for a year."]))
    (folder / "questions.jsonl").write_text(json.dumps(QUESTION) + "\n")
    (folder / "ragopt.toml").write_text(SETTINGS)
    for name in ("CONTRIBUTING.md", "SECURITY.md"):
        shutil.copy(ROOT / name, folder)
    with running(folder / ".ragopt", "--dev", "--sample", str(folder / "handbook")) as service:
        yield Desk(folder, service)


@pytest.mark.parametrize("block", pasted(), ids=lambda block: block.name)
def test_a_block_works_as_pasted(desk: Desk, block: Block) -> None:
    """The shell ends without a failure, and no response is a problem."""
    ended = desk.paste(block.body)
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
    """What is left to other tests is the smaller part, and README's own commands are not in it."""
    body = "".join(block.body for block in pasted())
    for said in ("ragopt ingest", "ragopt ask", "/answer", "/context", "ragopt keys create", "ragopt export", "/batch"):
        assert said in body
    assert len(pasted()) >= 25
