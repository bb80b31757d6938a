"""Kernel locks on files: the kernel drops them with their holder, `kill -9` included."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def open_lock(path: Path) -> int:
    """Return a descriptor of the lock file, made if need be, that holds no lock yet."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def share_lock(descriptor: int) -> None:
    """Hold the lock together with others who share it; waits for an exclusive holder."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def try_lock(descriptor: int) -> bool:
    """Return whether nobody held the lock; `descriptor` then holds it alone, until it is closed."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def opened_lock(path: Path) -> Iterator[int]:
    """Yield a descriptor as `open_lock` does, closed after the block, which gives up what it holds."""
    descriptor = open_lock(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file alone for the block; waits for it."""
    with opened_lock(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
