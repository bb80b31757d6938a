"""Memory that is given back to the system."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from indexes.memory import malloc_trim

ROOT = Path(__file__).parents[2]
HOLES = """
from eval.resident import resident
from indexes.memory import give_back

kept = [(b"x" * 12_000, b"y" * 600) for _ in range(5_000)]
kept = [small for _, small in kept]
before = resident().anonymous_mib()
give_back()
print(before - resident().anonymous_mib())
"""


@pytest.mark.skipif(malloc_trim() is None, reason="this C library keeps what it has")
def test_what_is_free_between_what_is_used_is_given_back() -> None:
    """Of 57 MiB freed in pieces, with what stays in use between them, at least 20 are the system's afterwards."""
    found = subprocess.run([sys.executable, "-c", HOLES], cwd=ROOT, capture_output=True, text=True, check=True)
    assert float(found.stdout) > 20


ARENAS = """
import ctypes, sys
from threading import Barrier, Thread
from indexes.memory import share_arenas

if sys.argv[1:]:
    share_arenas()
met = Barrier(8)

def fill():
    met.wait()
    kept = [b"x" * 2_000 for _ in range(2_000)]
    met.wait()

threads = [Thread(target=fill) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
info = ctypes.CDLL(None)
info.malloc_stats()
"""


@pytest.mark.skipif(malloc_trim() is None, reason="another C library")
def test_threads_share_two_arenas() -> None:
    """Eight threads that allocate at once use two arenas after it was asked for, and more without."""
    assert arenas("shared") == 2
    assert arenas() > 2


def arenas(*arguments: str) -> int:
    """Return how many arenas glibc says that the process had."""
    found = subprocess.run(
        [sys.executable, "-c", ARENAS, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return len(re.findall(r"^Arena \d+:", found.stderr, re.MULTILINE))
