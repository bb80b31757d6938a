"""`ragopt audit`: exit codes, and what a person and a program read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ragopt.audit.chain import files_of
from ragopt.audit.verifying import verify
from ragopt.cli.entry import main
from tests.environment import environment
from tests.ragopt.audit.logs import written

Captured = pytest.CaptureFixture[str]


def test_a_whole_log_passes(tmp_path: Path, capsys: Captured) -> None:
    """The check ends with 0 and names the last line, which a later one can ask for."""
    path = written(tmp_path, 9)
    assert main(["audit", "verify", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["whole"], found["lines"], found["broken"]) == (True, 9, None)
    assert main(["audit", "verify", str(path), "--known", found["end"]["sha256"]]) == 0
    assert f"SHA-256 {found['end']['sha256']}" in capsys.readouterr().out


def test_a_broken_log_fails(tmp_path: Path, capsys: Captured) -> None:
    """The check ends with 1 and names file and line, for a person and for a program."""
    path = written(tmp_path, 9)
    file = files_of(path)[0]
    file.write_bytes(file.read_bytes().replace(b"acme", b"evil", 1))
    assert main(["audit", "verify", str(path)]) == 1
    assert capsys.readouterr().err.startswith(f"{file.name}:2: ")
    assert main(["audit", "verify", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["broken"]["file"] == file.name


def test_a_log_that_is_not_there_fails(tmp_path: Path, capsys: Captured) -> None:
    """A wrong path is one line on standard error."""
    assert main(["audit", "verify", str(tmp_path / "none.jsonl")]) == 1
    assert "no audit log" in capsys.readouterr().err


def test_lines_are_shown(tmp_path: Path, capsys: Captured) -> None:
    """Lines are chosen by tenant and time; `--json` prints them as they are."""
    path = str(written(tmp_path, 9))
    assert main(["audit", "show", path, "--tenant", "acme", "--since", "1970-01-01T00:00:07"]) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines()] == ["d7", "d8"]
    assert main(["audit", "show", path, "--tenant", "globex"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["audit", "show", path, "--act", "delete", "--json"]) == 0
    assert [json.loads(line)["n"] for line in capsys.readouterr().out.splitlines()] == list(range(1, 10))


def test_keys_are_written_down(tmp_path: Path, capsys: Captured) -> None:
    """Creating and revoking a key are in the log of the settings, the key itself is not."""
    with environment(RAGOPT_AUDIT__ENABLED="true", RAGOPT_DATA_DIR=str(tmp_path / "d")):
        assert main(["keys", "create", "--tenant", "acme", "--name", "site", "--json"]) == 0
        made = json.loads(capsys.readouterr().out)
        assert main(["keys", "revoke", made["id"]]) == 0
        capsys.readouterr()
        assert main(["audit", "show"]) == 0
    shown = [line.split()[1:] for line in capsys.readouterr().out.splitlines()]
    assert shown == [[act, "acme", "local", made["id"]] for act in ("key_created", "key_revoked")]
    path = tmp_path / "d" / "audit.jsonl"
    assert made["key"] not in path.read_text(encoding="utf-8")
    assert verify(path).broken is None
