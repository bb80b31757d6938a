"""Keys of providers, fixed and in files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from ragopt.errors import KeyRefused
from ragopt.providers.keys import KeyFile, key_text


def key_in(path: Path) -> str:
    """Return the key that a call would send."""
    return key_text(KeyFile(path), base_url=None, variable="K")


def test_key_file_is_read_for_every_call(tmp_path: Path) -> None:
    """A rotated key is sent at once, also one of the same length within the clock's grain."""
    path = tmp_path / "key"
    path.write_text("first\n")
    source = KeyFile(path)
    assert key_text(source, base_url=None, variable="K") == "first"
    path.write_text("other\n")
    assert key_text(source, base_url=None, variable="K") == "other"


def test_half_written_rotation_keeps_the_last_key(tmp_path: Path) -> None:
    """While the file is empty, gone or not text, the last good key is sent."""
    path = tmp_path / "key"
    path.write_text("good")
    source = KeyFile(path)
    source.read()
    for data in (b"", b"\xff\xfe"):
        path.write_bytes(data)
        assert source.read() == "good"
    path.unlink()
    assert source.read() == "good"


def test_missing_key_is_named(tmp_path: Path) -> None:
    """Without a key the provider's own address is refused; an address of one's own needs none."""
    with pytest.raises(KeyRefused, match="MY_VARIABLE"):
        key_text(None, base_url=None, variable="MY_VARIABLE")
    with pytest.raises(KeyRefused, match="no API key"):
        key_in(tmp_path / "never there")
    assert key_text(SecretStr(""), base_url="http://localhost", variable="K") == "none"


@pytest.mark.parametrize("key", ["two\nlines", "sk-ключ", "sk space"])
def test_key_that_no_header_takes_is_refused_without_being_shown(key: str) -> None:
    """The HTTP library would quote it in its error."""
    with pytest.raises(KeyRefused) as caught:
        key_text(SecretStr(key), base_url=None, variable="K")
    assert key not in str(caught.value)
