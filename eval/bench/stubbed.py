"""The service with the provider stub behind it and everything switched on: what its own part of an answer is."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import httpx

from eval.bench.service import RunningService, free_port, running_service, source_root, stop
from eval.errors import BenchError

STUB_START_S = 30.0
LABELS = {"user": "u1", "team": "support", "feature": "chat"}
# Every limit is there and none is reached: what counting costs is measured, not what refusing does.
MODELS = (("simple", "openai", "/v1"), ("medium", "anthropic", ""), ("complex", "openai", "/v1"))
RATES = ("--rpm", "1000000", "--tpm", "1000000000")
SETTINGS = """
[[budgets]]
scope = "tenant"
usd_per_day = 1000000
usd_per_month = 1000000

[[budgets]]
scope = "user"
usd_per_day = 1000000
"""
MODEL = """
[[models]]
name = "{tier}"
provider = "{provider}"
model = "stub-ok"
tier = "{tier}"
base_url = "{url}"
rpm = 1000000
tpm = 1000000000
max_concurrent = 64
price = {{ input = 1, output = 4 }}
"""


@dataclass(frozen=True, slots=True)
class StubCall:
    """What the stub says of one call: for which question, and its milliseconds to the first byte and to the end."""

    question: str
    first_byte_ms: float
    ended_ms: float


@dataclass(frozen=True, slots=True)
class Stubbed:
    """A running service and the stub behind it."""

    service: RunningService
    stub_url: str
    data_dir: Path

    def calls(self) -> dict[str, list[StubCall]]:
        """Return the calls that have ended, by question, in order; the stub remembers the last 5,000."""
        found: dict[str, list[StubCall]] = {}
        log = httpx.get(f"{self.stub_url}/_stub/requests", timeout=60).raise_for_status().json()
        for row in log["requests"]:
            if row["ended_ms"] is not None:
                call = StubCall(question_in(row["body"]), row["first_byte_ms"] or 0.0, row["ended_ms"])
                found.setdefault(call.question, []).append(call)
        return found

    def processor_s(self) -> float:
        """Return the processor time that the service has used, all threads, in seconds."""
        return used_s(Path(f"/proc/{self.service.pid}/stat"))

    def loop_s(self) -> float:
        """Return what of it the event loop has used, which runs in the main thread, in seconds."""
        return used_s(Path(f"/proc/{self.service.pid}/task/{self.service.pid}/stat"))


def used_s(stat: Path) -> float:
    """Return the processor time of a process or a thread in seconds, given its file `stat`."""
    fields = stat.read_text(encoding="ascii").rpartition(")")[2].split()
    # Source: proc(5): utime and stime, in ticks of 1/100 s, are the 14th and 15th field.
    return (int(fields[11]) + int(fields[12])) / 100


@contextmanager
def stubbed_service(*, delay_ms: int = 0) -> Iterator[Stubbed]:
    """Start the stub and the service in front of it, with a key of its own; end both.

    delay_ms: what the stub waits before each answer. Raises: `BenchError`.
    """
    with tempfile.TemporaryDirectory(prefix="ragopt-bench-") as name, running_stub(delay_ms) as url:
        folder = Path(name)
        models = [MODEL.format(tier=tier, provider=provider, url=url + path) for tier, provider, path in MODELS]
        config = "".join([*models, SETTINGS])
        with running_service(folder, data_dir=folder / "data", config=config) as service:
            key = created_key(folder / "data")
            yield Stubbed(replace(service, key=key), url, folder / "data")


@contextmanager
def running_stub(delay_ms: int) -> Iterator[str]:
    """Run the provider stub as a process for the block; yield its address."""
    port = free_port()
    command = [sys.executable, "-m", "eval", "stub", "--port", str(port), "--delay-ms", str(delay_ms)]
    process = subprocess.Popen(command, cwd=source_root(), stdout=subprocess.DEVNULL)  # noqa: S603
    try:
        wait_for(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        stop(process)


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Return once the stub answers. Raises: `BenchError` if it ends or takes too long."""
    until = time.monotonic() + STUB_START_S
    while process.poll() is None and time.monotonic() < until:
        try:
            httpx.get(f"{url}/v1/models", timeout=5).raise_for_status()
        except httpx.TransportError:
            time.sleep(0.05)
        else:
            return
    raise BenchError(f"the provider stub did not start (exit code {process.poll()})")


def created_key(data_dir: Path) -> str:
    """Return a new key with limits, whose check reads Redis as any other's does. Raises: `BenchError`."""
    command = [sys.executable, "-m", "ragopt", "keys", "create", "--tenant", "default", "--name", "bench"]
    command += ["--scopes", "ingest,query", "--trusted-labels", *RATES, "--data-dir", str(data_dir), "--json"]
    run = subprocess.run(command, cwd=source_root(), capture_output=True, text=True, check=False)  # noqa: S603
    if run.returncode:
        raise BenchError(f"no key was made: {run.stderr.strip()}")
    return str(json.loads(run.stdout)["key"])


def question_in(body: Mapping[str, object]) -> str:
    """Return the question that a call of either dialect carries, the last line of its last message that has one."""
    messages = cast("Sequence[Mapping[str, object]]", body["messages"])
    content = messages[-1]["content"]
    if not isinstance(content, str):
        content = "\n".join(str(block.get("text", "")) for block in cast("Sequence[Mapping[str, object]]", content))
    return content.rpartition("Question: ")[2].partition("\n")[0]
