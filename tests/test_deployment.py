"""What starts the project somewhere else: Makefile, constraints, container files, the build script."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ragopt.config import Settings
from tests.house.source import ROOT
from tests.ragopt.api.fakes import served

ANSWERING = ("ragopt-1", "ragopt-2")
PROCESSES = (*ANSWERING, "worker")
KEEPING = (*PROCESSES, "qdrant", "redis", "prometheus", "grafana")
SERVICES = (*KEEPING, "proxy")
PROXY = ROOT / "deploy" / "compose" / "haproxy.cfg"
SECRETS = ("RAGOPT_API_KEY", "QDRANT_API_KEY", "REDIS_PASSWORD")
TORCH_PIN = "torch==2.13.0"


def read(name: str) -> str:
    """Return the text of a file at the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def compose() -> dict[str, Any]:
    """Return the parsed compose file."""
    return cast("dict[str, Any]", yaml.safe_load(read("docker-compose.yml")))


def pins() -> dict[str, str]:
    """Return package to version of the constraints file."""
    lines = [line for line in read("constraints.txt").splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.]+", line) for line in lines)
    return {canonicalize_name(name): version for name, version in (line.split("==") for line in lines)}


def requirements() -> list[Requirement]:
    """Return every requirement of pyproject.toml, the test tools included."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    extras = [item for group in project["optional-dependencies"].values() for item in group]
    return [Requirement(text) for text in [*project["dependencies"], *extras]]


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_requirement_is_pinned_within_its_range(requirement: Requirement) -> None:
    """Every dependency has one exact version, and pyproject.toml allows that version."""
    assert requirement.specifier.contains(pins()[canonicalize_name(requirement.name)])


def test_no_gpu_package_is_pinned() -> None:
    """The constraints bring no CUDA package along, and torch carries no local version."""
    assert [name for name in pins() if name.startswith(("nvidia", "cuda", "triton"))] == []
    assert pins()["torch"] == TORCH_PIN.partition("==")[2]


@pytest.mark.parametrize("name", ["Makefile", "Dockerfile"])
def test_torch_is_installed_first_and_pinned(name: str) -> None:
    """Torch has an install line of its own, with the pinned version, before the project's."""
    text = read(name)
    project = text.index("--editable ." if name == "Makefile" else "--constraint constraints.txt .\n")
    assert TORCH_PIN in text
    assert 0 < text.index("${TORCH_INSTALL_ARGS}" if name == "Dockerfile" else '"$(TORCH)"') < project


def test_compose_runs_two_services_a_worker_and_what_they_need() -> None:
    """Nothing is started that the tests do not know."""
    assert sorted(compose()["services"]) == sorted(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_service_is_checked_and_pinned(service: str) -> None:
    """Each compose service has a health check and a version that does not move, and comes back by itself."""
    described = compose()["services"][service]
    assert described["healthcheck"]["test"]
    assert re.search(r":v?\d+\.\d+", described["image"])
    assert described["restart"] == "unless-stopped"


@pytest.mark.parametrize("service", KEEPING)
def test_service_is_kept(service: str) -> None:
    """What keeps data keeps it in a named volume."""
    volume, _, path = compose()["services"][service]["volumes"][0].partition(":")
    assert (volume in compose()["volumes"], path.startswith("/")) == (True, True)


def test_no_secret_has_a_default() -> None:
    """Compose stops where a secret is missing: each is required, none is written down."""
    text = read("docker-compose.yml")
    for secret in SECRETS:
        used = re.findall(rf"\$\{{{secret}([^}}]*)\}}", text)
        assert used
        assert all(rest.startswith(":?") for rest in used), secret


def test_ports_are_published_on_loopback_only() -> None:
    """Only the proxy and the dashboard are published, on 127.0.0.1."""
    published = {name: described.get("ports", []) for name, described in compose()["services"].items()}
    assert {name: ports for name, ports in published.items() if ports} == {
        "proxy": ["127.0.0.1:8080:8080"],
        "grafana": ["127.0.0.1:3000:3000"],
    }


def test_processes_are_alike() -> None:
    """Services and worker are one image with one environment: what tells them apart is the proxy alone."""
    services = compose()["services"]
    assert [services[name] for name in PROCESSES] == [services["worker"]] * len(PROCESSES)


def test_each_waits_for_healthy_dependencies() -> None:
    """A process starts after Qdrant and Redis are healthy, the proxy after both services are."""
    for name, needed in (*((name, ("qdrant", "redis")) for name in PROCESSES), ("proxy", ANSWERING)):
        waits = compose()["services"][name]["depends_on"]
        assert {needs: item["condition"] for needs, item in waits.items()} == dict.fromkeys(needed, "service_healthy")


def test_proxy_asks_the_services_and_never_the_worker() -> None:
    """The proxy knows both services and no worker, asks whether they are ready, and holds nothing back."""
    text = PROXY.read_text(encoding="utf-8")
    assert tuple(re.findall(r"^ +server \S+ (\S+):8080$", text, re.MULTILINE)) == ANSWERING
    assert "option httpchk GET /readyz" in text
    assert not re.search(r"^ +(option http-buffer-request|filter compression|retry-on)", text, re.MULTILINE)


def test_proxy_stops_after_its_streams() -> None:
    """What Docker grants is longer than what the proxy gives open streams, and that longer than the drain."""
    granted_s = int(compose()["services"]["proxy"]["stop_grace_period"].removesuffix("s"))
    (given_s,) = map(int, re.findall(r"hard-stop-after (\d+)s", PROXY.read_text(encoding="utf-8")))
    assert granted_s > given_s > Settings.model_fields["drain_s"].default


def test_qdrant_health_check_reads_the_status(tmp_path: Path) -> None:
    """The shell check of Qdrant passes on a 200 and fails on a 503 and on a closed port."""
    command = compose()["services"]["qdrant"]["healthcheck"]["test"][-1].replace("$$", "$")
    outcomes = [run_check(command, status, tmp_path) for status in ("200 OK", "503 Service Unavailable", None)]
    assert outcomes == [True, False, False]


def run_check(command: str, status: str | None, folder: Path) -> bool:
    """Return whether the check passes against a server that answers `status`; None: nobody listens."""
    (folder / "tcp").unlink(missing_ok=True)
    if status is not None:
        (folder / "tcp").write_text(f"HTTP/1.1 {status}\r\n\r\n", encoding="utf-8")
    # A file takes the socket's place: read and write go to two descriptors of it.
    local = command.replace("3<>/dev/tcp/127.0.0.1/6333", "3<tcp").replace(">&3", ">/dev/null")
    return subprocess.run(["bash", "-c", local], cwd=folder, capture_output=True, check=False).returncode == 0


def test_container_does_not_run_as_root() -> None:
    """The image runs as a user of its own, has a health check and keeps its data in a volume."""
    last_stage = read("Dockerfile").rpartition("\nFROM ")[2]
    instructions = {line.split()[0] for line in last_stage.splitlines() if line[:1].isupper()}
    assert {"USER", "HEALTHCHECK", "VOLUME", "STOPSIGNAL"} <= instructions
    assert last_stage.index("USER ragopt") < last_stage.index("CMD ")


def make(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    """Run make with nothing in the environment but PATH."""
    return subprocess.run(
        ["/usr/bin/env", "-i", f"PATH={path}", "make", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_make_alone_lists_the_targets() -> None:
    """`make` without a target explains each one."""
    result = make(path=os.defpath)
    listed = re.findall(r"^make (\w+)", result.stdout, re.MULTILINE)
    assert (result.returncode, listed) == (0, ["help", "run", "test", "check", "campaign", "docs", "clean"])


def test_installs_form_one_chain() -> None:
    """Under `make -j` no two installs can run at once: each stamp waits for the one before."""
    rules = dict(re.findall(r"^\$\(STAMPS\)/(\w+): ?(.*)$", read("Makefile"), re.MULTILINE))
    before = {"venv": "", "torch": "$(STAMPS)/venv", "run": "$(STAMPS)/torch", "dev": "$(STAMPS)/run"}
    assert {name: needs.partition(" ")[0] for name, needs in rules.items()} == before


def test_missing_python_is_said_in_one_line(tmp_path: Path) -> None:
    """Where no Python fits, make says what to install and fails."""
    for tool in ("sh", "uname", "make", "mkdir", "touch", "awk"):
        (tmp_path / tool).symlink_to(which(tool))
    (tmp_path / "redis-server").symlink_to("/bin/true")
    result = make("--always-make", f"VENV={tmp_path / 'venv'}", f"{tmp_path / 'venv'}/.stamps/venv", path=str(tmp_path))
    assert result.returncode != 0
    assert "needs Python 3.11 or 3.12" in result.stderr


def test_missing_redis_is_said_first_elsewhere(tmp_path: Path) -> None:
    """On a platform without the embedded Redis, make asks for a redis-server before anything else."""
    for tool in ("sh", "make"):
        (tmp_path / tool).symlink_to(which(tool))
    executable(tmp_path / "uname", "echo Darwin")
    result = make("--always-make", f"VENV={tmp_path / 'venv'}", f"{tmp_path / 'venv'}/.stamps/venv", path=str(tmp_path))
    assert result.returncode != 0
    assert "needs a redis-server on PATH" in result.stderr


def test_cuda_download_is_announced(tmp_path: Path) -> None:
    """Where pip has no CPU build of torch, make says so before the big download; options of the caller go to pip."""
    pip = executable(tmp_path / "pip", 'echo "pip $*"\ncase "$*" in *+cpu) exit 1 ;; esac')
    executable(tmp_path / "uname", "[ $1 = -s ] && echo Linux || echo x86_64")
    for tool in ("sh", "make", "touch"):
        (tmp_path / tool).symlink_to(which(tool))
    stamps = tmp_path / ".stamps"
    stamps.mkdir()
    goal = [f"VENV={tmp_path}", f"PIP_INSTALL={pip}", f"--old-file={stamps / 'venv'}", f"{stamps / 'torch'}"]
    (stamps / "venv").touch()
    plain = make("--always-make", *goal, path=str(tmp_path))
    chosen = make("--always-make", *goal, "TORCH_INSTALL_ARGS=--index-url X", path=str(tmp_path))
    assert "pass a CPU wheel index" in plain.stderr
    assert [line for line in plain.stdout.splitlines() if line.startswith("pip")][-1] == f"pip {TORCH_PIN}"
    assert (f"pip --index-url X {TORCH_PIN}" in chosen.stdout, chosen.stderr) == (True, "")


def executable(path: Path, script: str) -> Path:
    """Return `path` after writing a shell script there."""
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def which(tool: str) -> str:
    """Return the path of a tool of this machine."""
    found = subprocess.run(["/bin/sh", "-c", f"command -v {tool}"], capture_output=True, text=True, check=True)
    return found.stdout.strip()


def test_build_script_checks_and_tests() -> None:
    """.ci/run is executable, stops at the first failure, and ends with `make test`."""
    script = ROOT / ".ci" / "run"
    lines = script.read_text(encoding="utf-8").splitlines()
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in lines
    assert "make --no-print-directory check" in lines
    assert lines[-1] == "make --no-print-directory test"


OBSERVABILITY = ROOT / "deploy" / "observability"
SUFFIXES = ("_total", "_bucket", "_sum", "_count", "_created")


def told_metrics() -> set[str]:
    """Return the names of everything that GET /metrics can tell, without the suffixes of its samples."""
    with served() as http:
        text = http.get("/metrics", key=None).text
    return {stem(name) for name in re.findall(r"^# TYPE (ragopt_\w+)", text, re.MULTILINE)}


def stem(name: str) -> str:
    """Return a metric's name without the suffix of a sample."""
    return next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)


def test_dashboard_alerts_and_docs_name_metrics_that_are_there() -> None:
    """No panel stays empty and no alert silent because of a name that nothing tells."""
    told = told_metrics()
    for path in (
        "deploy/observability/grafana/ragopt.json",
        "deploy/observability/alerts.yml",
        "docs/observability.md",
    ):
        file = ROOT / path
        named = {stem(name) for name in re.findall(r"\bragopt_[a-z_]+", file.read_text(encoding="utf-8"))}
        assert named, file
        assert named - told == set(), file


def test_dashboard_and_scrape_files_are_where_compose_mounts_them() -> None:
    """Every file that compose mounts exists, the dashboard is JSON of panels, and each panel has its own place."""
    mounted = [
        volume.partition(":")[0]
        for described in compose()["services"].values()
        for volume in described.get("volumes", [])
        if volume.startswith("./")
    ]
    assert mounted
    assert [path for path in mounted if not (ROOT / path).is_file()] == []
    panels = json.loads((OBSERVABILITY / "grafana" / "ragopt.json").read_text(encoding="utf-8"))["panels"]
    assert len({panel["id"] for panel in panels}) == len({tuple(panel["gridPos"].values()) for panel in panels})
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    scraped = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
    assert scraped[0]["static_configs"] == [{"targets": [f"{name}:8080" for name in PROCESSES]}]
