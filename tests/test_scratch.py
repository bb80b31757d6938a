"""Where a test run keeps its folders."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests import scratch
from tests.house.source import ROOT

HOLDS = """
import os, signal
from tests.scratch import in_memory
with in_memory() as folder:
    print(folder, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_place_that_is_named_is_used(tmp_path: Path) -> None:
    """`TMPDIR` decides, and stays as it was."""
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(tmp_path)
    try:
        with scratch.in_memory() as folder:
            assert (folder, os.environ["TMPDIR"]) == (None, str(tmp_path))
    finally:
        del os.environ["TMPDIR"]
        if before is not None:
            os.environ["TMPDIR"] = before


@pytest.mark.skipif(scratch.room() < scratch.ROOM_BYTES, reason="too little memory is free for it")
def test_what_a_killed_run_left_goes_and_what_is_held_stays() -> None:
    """The folder of a run that was killed is removed by the next; this run's own is not."""
    own = Path(tempfile.gettempdir())
    clean = {name: value for name, value in os.environ.items() if name not in ("TMPDIR", "CAMPAIGN")}
    command = [sys.executable, "-c", HOLDS]
    killed = subprocess.run(command, cwd=ROOT, env=clean, capture_output=True, text=True, check=False)
    left = Path(killed.stdout.strip())
    assert left.parent == scratch.MEMORY
    assert left.is_dir()
    scratch.remove_left()
    assert (left.exists(), own.is_dir()) == (False, True)
