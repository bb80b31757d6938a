"""The key a call is made with: a fixed one, or a file that is read again for every call."""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from pydantic import SecretStr

from ragopt.errors import KeyRefused

NO_KEY_NEEDED = "none"


class KeyFile:
    """A key in a file. A new key there is used from the next call on, without a restart.

    Reading costs some microseconds beside a call of hundreds of milliseconds; comparing times of
    change instead would miss a rotation within the clock's grain.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last = ""

    def read(self) -> str:
        """Return the key in the file; the last good one while the file is missing, empty or not text.

        A rotation that is not atomic leaves such a moment. Empty only if there never was a key.
        """
        try:
            text = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return self._last
        self._last = text or self._last
        return self._last


ApiKey: TypeAlias = SecretStr | KeyFile | None


def key_text(api_key: ApiKey, *, base_url: str | None, variable: str) -> str:
    """Return the key to send with this call; a server at an address of one's own may need none.

    Raises: `KeyRefused` if there is no key and the address is the provider's own, or if it cannot be sent.
    """
    key = current_key(api_key)
    if not key and base_url is None:
        raise KeyRefused(f"no API key: set {variable}, or api_key_env or api_key_file of the model")
    # The HTTP library would quote such a key in its error.
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise KeyRefused(f"the API key of {variable} or of the model's entry holds characters that no header takes")
    return key or NO_KEY_NEEDED


def current_key(api_key: ApiKey) -> str:
    """Return the key as it is now, "" where there is none."""
    if isinstance(api_key, KeyFile):
        return api_key.read()
    return api_key.get_secret_value() if api_key is not None else ""
