"""A served stand-in service; starting a server takes longer than most tests, so the tests of a file share one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.ragopt.api.fakes import Served, served


@pytest.fixture(scope="module")
def shared_server() -> Iterator[Served]:
    """Yield the server of this file's tests."""
    with served() as running:
        yield running


@pytest.fixture
def http(shared_server: Served) -> Served:
    """Return the server with its service as new."""
    shared_server.service.reset()
    return shared_server
