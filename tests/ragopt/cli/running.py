"""The command line as a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

from ragopt.cli.entry import main
from tests.environment import environment as variables
from tests.house.source import ROOT

TIMEOUT_S = 120


def environment(**settings: str) -> dict[str, str]:
    """Return this process's environment without any setting of ragopt or of a provider, plus the given ones."""
    foreign = ("RAGOPT_", "OPENAI_", "ANTHROPIC_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return {**kept, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **settings}


def ragopt(*arguments: str | Path, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Return how `ragopt` with these arguments ended."""
    return subprocess.run(
        [sys.executable, "-m", "ragopt", *map(str, arguments)],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def ragopt_here(*arguments: str | Path, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Return how the command ended in this process: what it prints and returns, without the second of a new process."""
    given = list(map(str, arguments))
    out, errors = io.StringIO(), io.StringIO()
    with chdir(cwd), variables(**settings), redirect_stdout(out), redirect_stderr(errors):
        code = main(given)
    return subprocess.CompletedProcess(given, code, out.getvalue(), errors.getvalue())
