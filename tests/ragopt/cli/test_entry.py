"""The command line from outside: help, wrong usage, and one line for what goes wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ragopt.cli.doctor import model_ready
from ragopt.cli.entry import SUMMARIES, main
from ragopt.errors import ConfigError
from ragopt.settings.models import ModelSettings
from ragopt.state.data_dir import DataDirLock
from tests.environment import environment as no_settings
from tests.ragopt.cli.running import environment, ragopt, ragopt_here
from tests.rerank_endpoint import served_endpoint


@pytest.mark.parametrize("name", SUMMARIES)
def test_command_has_help_with_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command explains itself with one example."""
    with pytest.raises(SystemExit) as left:
        main([name, "--help"])
    assert left.value.code == 0
    assert f"Example: ragopt {name}" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["create", "list", "revoke"])
def test_action_has_help_with_an_example(action: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The actions of `keys` explain themselves too."""
    with pytest.raises(SystemExit):
        main(["keys", action, "--help"])
    assert f"Example: ragopt keys {action}" in capsys.readouterr().out


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """`ragopt --help` names every command, and `ragopt` alone shows the same and fails."""
    assert (main(["--help"]), main([])) == (0, 2)
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown for name in SUMMARIES)


def test_help_imports_nothing_heavy() -> None:
    """The help starts at once: neither engines nor web framework nor settings are imported for it."""
    program = "import sys; from ragopt.cli import main; main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    ended = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True
    )
    heavy = ("numpy", "pydantic", "fastapi", "uvicorn", "redis", "httpx", "asyncio")
    assert [name for name in heavy if f"'{name}'" in ended.stderr] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["frobnicate"], "frobnicate"),
        (["ask"], "question"),
        (["keys"], "ACTION"),
        (["keys", "create", "--tenant", "t"], "--name"),
        (["serve", "--port", "many"], "many"),
        (["config", "fix"], "fix"),
        (["ask", "Why?", "--collection", "../x"], "--collection"),
    ],
)
def test_wrong_usage_is_one_line(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Wrong arguments end with exit code 2 and one line on standard error that says what is wrong."""
    with pytest.raises(SystemExit) as left:
        main(arguments)
    shown = capsys.readouterr()
    assert (left.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert said in shown.err


def test_failures_are_one_line(tmp_path: Path) -> None:
    """What fails on purpose ends with exit code 1 and one line that names the cause, never with a traceback."""
    with DataDirLock(tmp_path / "held"):
        cases = {
            "RAGOPT_PORT": ragopt("config", "check", cwd=tmp_path, RAGOPT_PORT="high"),
            "RAGOPT_PROT": ragopt_here("config", "check", cwd=tmp_path, RAGOPT_PROT="1"),
            "no such file": ragopt_here("ingest", "nowhere.md", cwd=tmp_path),
            "nowhere.jsonl: no such file or directory\n": ragopt_here(
                "batch", "nowhere.jsonl", "--out", "results.jsonl", cwd=tmp_path
            ),
            "RAGOPT_API_KEY": ragopt_here("ask", "Why?", "--url", "http://127.0.0.1:9", cwd=tmp_path),
            "127.0.0.1:9": ragopt_here("ask", "Why?", "--url", "http://127.0.0.1:9", cwd=tmp_path, RAGOPT_API_KEY="k"),
            "which serves no HTTP": ragopt_here("ask", "Why?", "--data-dir", "held", cwd=tmp_path),
            "is held by process": ragopt_here("serve", "--port", "0", "--data-dir", "held", cwd=tmp_path),
            "--workers": ragopt_here("serve", "--workers", "2", cwd=tmp_path),
            "cannot listen": ragopt("serve", "--host", "192.0.2.1", "--data-dir", "d", cwd=tmp_path),
        }
    for cause, ended in cases.items():
        assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (1, "", 1), ended
        assert cause in ended.stderr


def test_config_check_masks_secrets(tmp_path: Path) -> None:
    """The effective settings are shown, from file and environment, and no secret is among them."""
    (tmp_path / "ragopt.toml").write_text('top_k = 7\n[[models]]\nname = "m"\nprovider = "extractive"\n')
    settings = {"RAGOPT_API_KEY": "hunter2", "RAGOPT_CONTEXT_TOKENS": "123"}
    settings |= {"RAGOPT_REDIS_URL": "redis://:hunter2@redis:6379/0", "RAGOPT_QDRANT_URL": "http://me:hunter2@qdrant"}
    plain = ragopt("config", "check", cwd=tmp_path, **settings)
    as_json = ragopt("config", "check", "--json", cwd=tmp_path, **settings)
    shown = json.loads(as_json.stdout)
    assert (shown["top_k"], shown["context_tokens"], shown["models"][0]["name"]) == (7, 123, "m")
    assert "context_tokens = 123" in plain.stdout
    assert (shown["redis_url"], shown["qdrant_url"]) == ("redis://***@redis:6379/0", "http://***@qdrant")
    assert "hunter2" not in plain.stdout + as_json.stdout


def test_doctor_names_what_is_broken(tmp_path: Path) -> None:
    """Doctor tries everything, marks what does not work, and fails if something needed is broken."""
    healthy = ragopt("doctor", "--json", cwd=tmp_path)
    assert healthy.returncode == 0, healthy
    assert json.loads(healthy.stdout)["ok"]
    details = {check["name"]: check["detail"] for check in json.loads(healthy.stdout)["checks"]}
    assert details["reranker"].startswith("late interaction alone")
    broken = ragopt(
        "doctor",
        cwd=tmp_path,
        RAGOPT_EMBEDDING_MODEL=str(tmp_path),
        RAGOPT_REDIS_URL="redis://127.0.0.1:9",
        RAGOPT_RERANK_MODEL=str(tmp_path),
    )
    marks = {line[2:].partition(":")[0]: line[0] for line in broken.stdout.splitlines()}
    assert broken.returncode == 1
    assert (marks["embedding model"], marks["redis"], marks["index"], marks["python"]) == ("✗", "✗", "✓", "✓")
    assert marks["reranker"] == "✗"


def test_doctor_lets_a_server_of_one_s_own_do_without_a_key() -> None:
    """Calls go there without one; at the provider's own address it is needed."""
    own = ModelSettings(name="small", provider="openai", base_url="http://127.0.0.1:9/v1")
    with no_settings():
        assert model_ready(own) == "openai small at http://127.0.0.1:9/v1, without a key"
        with pytest.raises(ConfigError, match="no API key"):
            model_ready(ModelSettings(name="small", provider="openai"))


def test_doctor_says_which_cross_encoder_judges(tmp_path: Path, cross_encoder: Path) -> None:
    """A folder with its checksum; an endpoint by asking it, and one that is down breaks nothing."""

    def reranker(model: str) -> dict[str, object]:
        done = ragopt("doctor", "--json", cwd=tmp_path, RAGOPT_RERANK_MODEL=model)
        return next(check for check in json.loads(done.stdout)["checks"] if check["name"] == "reranker")

    local = reranker(str(cross_encoder))
    assert local["ok"]
    assert f"then a cross-encoder {cross_encoder}, sha256" in str(local["detail"])
    with served_endpoint() as endpoint:
        assert reranker(endpoint.url)["ok"]
    down = reranker("http://127.0.0.1:9")
    assert (down["ok"], down["needed"]) == (False, False)


def test_keys_work_without_a_service(tmp_path: Path) -> None:
    """A key is created, listed without its secret, revoked once, and gone."""
    created = ragopt("keys", "create", "--tenant", "acme", "--name", "web", "--scopes", "query", "--json", cwd=tmp_path)
    key = json.loads(created.stdout)
    assert (set(key), key["tenant"], key["scopes"]) == ({"id", "key", "tenant", "scopes"}, "acme", ["query"])
    listed = ragopt_here("keys", "list", cwd=tmp_path)
    assert key["id"] in listed.stdout
    assert key["key"] not in listed.stdout
    pins = ("--team", "hr", "--feature", "chat", "--trusted-labels", "--rpm", "60", "--tpm", "0")
    pinned = ragopt_here("keys", "create", "--tenant", "acme", "--name", "bot", *pins, "--json", cwd=tmp_path)
    bot = json.loads(pinned.stdout)["id"]
    known = {item["id"]: item for item in json.loads(ragopt_here("keys", "list", "--json", cwd=tmp_path).stdout)}
    assert [known[bot][name] for name in ("team", "feature", "trusted_labels")] == ["hr", "chat", True]
    assert [(known[made]["rpm"], known[made]["tpm"]) for made in (bot, key["id"])] == [(60, 0), (None, None)]
    assert [known[key["id"]][name] for name in ("team", "feature", "trusted_labels")] == [None, None, False]
    for made in (bot, key["id"]):
        assert ragopt_here("keys", "revoke", made, cwd=tmp_path).returncode == 0
    again = ragopt_here("keys", "revoke", key["id"], cwd=tmp_path)
    assert (again.returncode, again.stderr.count("\n")) == (1, 1)
    assert json.loads(ragopt_here("keys", "list", "--json", cwd=tmp_path).stdout) == []
    unknown = ragopt_here("keys", "create", "--tenant", "t", "--name", "n", "--scopes", "root", cwd=tmp_path)
    assert (unknown.returncode, "root" in unknown.stderr) == (1, True)
