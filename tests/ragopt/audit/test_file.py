"""The log on disk: what a crash leaves, several writers, and files that are full."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.audit.chain import files_of
from ragopt.audit.events import Actor, AuditEvent
from ragopt.audit.file import BLOCK, AuditFile
from ragopt.audit.verifying import verify
from tests.environment import campaign_examples
from tests.house.source import ROOT
from tests.ragopt.audit.logs import copied, event, written

LARGE = 1_000_000

WRITE_ON = """
import sys
from pathlib import Path
from ragopt.audit.events import Actor, AuditEvent
from ragopt.audit.file import AuditFile
file = AuditFile(Path(sys.argv[1]), max_file_bytes=20_000)
while True:
    file.append([AuditEvent("delete", Actor("key", "acme"), str(n)) for n in range(20)])
"""


def test_lines_are_sealed(tmp_path: Path) -> None:
    """Each line holds its number and the SHA-256 of the line before, the first one zeros."""
    lines = written(tmp_path, 3, max_file_bytes=LARGE).read_bytes().splitlines()
    fields = [json.loads(line) for line in lines]
    assert [item["n"] for item in fields] == [1, 2, 3]
    digests = [hashlib.sha256(line).hexdigest() for line in lines]
    assert [item["prev"] for item in fields] == ["0" * 64, *digests[:2]]
    assert {"at", "act", "key_id", "tenant", "request_id", "documents"} <= set(fields[0])


@pytest.mark.campaign
@settings(max_examples=campaign_examples(25), deadline=None)
@given(st.integers(1, 400))
def test_a_torn_end_is_put_aside(cut_bytes: int) -> None:
    """Wherever a crash cut the lines that were not yet noted as on disk, the chain goes on and says what was cut."""
    with tempfile.TemporaryDirectory() as folder:
        path = copied(folder, 3)
        file, noted = AuditFile(path, max_file_bytes=LARGE), path.stat().st_size
        file.append([event(n) for n in range(3, 6)])
        kept = max(noted, path.stat().st_size - cut_bytes)
        content = path.read_bytes()[:kept]
        path.write_bytes(content)
        torn = content.rpartition(b"\n")[2]
        assert verify(path).torn_bytes == len(torn)
        file.append([event(9)])
        verdict = verify(path)
        assert (verdict.broken, verdict.torn_bytes, verdict.acts.get("torn", 0)) == (None, 0, int(bool(torn)))
        aside = path.with_name("audit.jsonl.torn")
        assert (aside.read_bytes() if torn else b"\n") == torn + b"\n"


def test_a_line_longer_than_a_block_is_read_back(tmp_path: Path) -> None:
    """The end of the chain is found behind a line of any length."""
    path = tmp_path / "audit.jsonl"
    file = AuditFile(path, max_file_bytes=10 * LARGE)
    file.append([AuditEvent("delete", Actor("key", "x" * n)) for n in (BLOCK - 200, BLOCK, 3 * BLOCK)])
    file.append([event(1)])
    file.sync()
    assert verify(path).broken is None


def test_the_chain_goes_on_in_the_next_file(tmp_path: Path) -> None:
    """A full file is put aside under the next number, and its successor's first line seals its last."""
    path = written(tmp_path, 20)
    names = [file.name for file in files_of(path)]
    assert names[:2] == ["audit.jsonl.000001", "audit.jsonl.000002"]
    last = files_of(path)[0].read_bytes().splitlines()[-1]
    first = json.loads(files_of(path)[1].read_bytes().splitlines()[0])
    assert first["prev"] == hashlib.sha256(last).hexdigest()


def test_several_writers_make_one_chain(tmp_path: Path) -> None:
    """Writers that know nothing of each other append in turns, also while files are put aside."""
    path = tmp_path / "audit.jsonl"

    def write() -> None:
        for n in range(20):
            AuditFile(path, max_file_bytes=2_000).append([event(n)])

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    AuditFile(path, max_file_bytes=2_000).sync()
    assert (verify(path).broken, verify(path).end.n) == (None, 60)


def test_only_the_owner_reads_the_log(tmp_path: Path) -> None:
    """Every file of the log is private."""
    path = written(tmp_path, 12)
    assert {file.stat().st_mode & 0o077 for file in path.parent.iterdir()} == {0}


def test_a_killed_writer_leaves_a_chain(tmp_path: Path) -> None:
    """After `kill -9` in the middle of its work the next writer goes on, and every line fits."""
    path = tmp_path / "audit.jsonl"
    writer = subprocess.Popen([sys.executable, "-c", WRITE_ON, str(path)], cwd=ROOT)
    ends = time.monotonic() + 30
    while len(files_of(path)) < 3:
        assert time.monotonic() < ends, "the writer wrote nothing"
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    file = AuditFile(path, max_file_bytes=20_000)
    file.append([event(1)])
    file.sync()
    assert verify(path).broken is None
