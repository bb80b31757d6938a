"""Names of Redis keys and the one translation of errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from ragopt.errors import StateUnavailable
from ragopt.state.access import as_bytes, redis_errors, redis_key

PARTS = st.lists(st.text(alphabet=":%a é\ud800", max_size=4), max_size=3)


@given(left=PARTS, right=PARTS)
def test_different_parts_never_share_a_key(left: list[str], right: list[str]) -> None:
    """Two lists of parts have the same key only if they are the same, whatever colons they hold."""
    assert (redis_key("job", *left) == redis_key("job", *right)) == (left == right)


def test_a_key_names_its_kind_and_tenant() -> None:
    """Keys can be read by a person and matched by a prefix."""
    assert redis_key("conversation", "a:b", "c/d") == "ragopt:conversation:a%3Ab:c%2Fd"


@pytest.mark.parametrize("error", [ResponseError("wrong type"), ConnectionRefusedError("refused"), TimeoutError()])
def test_whatever_redis_raises_becomes_state_unavailable(error: Exception) -> None:
    """Errors of redis-py and of the socket are translated, with their cause."""
    with pytest.raises(StateUnavailable) as caught, redis_errors():
        raise error
    assert caught.value.__cause__ is error


def test_other_errors_pass_through() -> None:
    """A defect of ours is not blamed on Redis."""
    with pytest.raises(KeyError), redis_errors():
        raise KeyError("x")


def test_as_bytes_returns_what_was_stored() -> None:
    """A reply is the same bytes whether or not the client decoded it."""
    assert as_bytes("é") == as_bytes("é".encode()) == b"\xc3\xa9"
