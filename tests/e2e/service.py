"""The real service as a process of its own, started and ended the way an operator does it."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.ragopt.cli.running import environment

START_S = 120


@dataclass
class Running:
    """A service process, what it printed, and the address and key that this named."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    url: str = ""
    key: str = ""

    def client(self, key: str | None = None) -> httpx.Client:
        """Return a client with the service's own key, or another."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, trust_env=False, verify=False)  # noqa: S501

    def terminate(self) -> int:
        """Return the exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """End the process with no chance to clean up."""
        self.process.kill()
        self.process.wait(60)


@contextmanager
def running(data_dir: Path, *arguments: str, **settings: str) -> Iterator[Running]:
    """Serve `data_dir` on a free port for the block; ended at its end if the block has not."""
    command = [sys.executable, "-m", "ragopt", "serve", "--port", "0", "--data-dir", str(data_dir), *arguments]
    log = data_dir.parent / "service.log"
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, cwd=data_dir.parent, env=environment(**settings), stdout=subprocess.PIPE, stderr=errors, text=True
        )
    made = Running(process)
    ready = threading.Event()
    reader = threading.Thread(target=read_lines, args=(made, ready))
    reader.start()
    try:
        assert ready.wait(START_S), log.read_text()
        assert made.url, log.read_text()
        yield made
    finally:
        if process.poll() is None:
            made.terminate()
        reader.join(10)
        if process.stdout is not None:
            process.stdout.close()


def read_lines(made: Running, ready: threading.Event) -> None:
    """Keep what the process prints, and find key and address in it."""
    for line in made.process.stdout or ():
        made.lines.append(line.rstrip("\n"))
        if shown := re.search(r"shown this once: (\S+)|#key=(\S+)", line):
            made.key = shown[1] or shown[2]
        if shown := re.search(r"(?:serves|Web page:) (http://[^\s/]+)", line):
            made.url = shown[1]
        if "serves" in line or "curl" in line:
            ready.set()
    ready.set()
