"""A reader's desk: a folder with the programs of an installation on its PATH, and a running service beside it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.service import Running
from tests.house.source import ROOT

FOREIGN = ("RAGOPT_", "OPENAI_", "ANTHROPIC_")
SHOWN_ADDRESS = "127.0.0.1:8080"


@dataclass(frozen=True)
class Desk:
    """A folder with what a reader would have in it, and a running service."""

    folder: Path
    service: Running

    def paste(self, text: str, replaced: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        """Return how a shell ended that was given a block: the service's own port and key are put into it.

        replaced: what stands for something of the reader's own, and what it is here.
        """
        address = self.service.url.partition("://")[2]
        for shown, real in ((SHOWN_ADDRESS, address), *replaced.items()):
            text = text.replace(shown, real)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        own = {"PATH": f"{self.folder / '.venv/bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        keys = {"KEY": self.service.key, "RAGOPT_API_KEY": self.service.key, "no_proxy": "127.0.0.1"}
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env={**kept, **own, **keys},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )


def install(folder: Path) -> None:
    """Put `ragopt` and `python` where an installation in a folder has them: into its `.venv/bin`."""
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    # Scripts, for a link to an environment's python is not in that environment.
    for name, runs in (("python", ""), ("ragopt", "-m ragopt ")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {runs}"$@"\n')
        (programs / name).chmod(0o755)
