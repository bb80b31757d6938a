"""A model behind HTTP: its address checked, and a client that reaches it."""

from __future__ import annotations

import re

import httpx
from pydantic import SecretStr, ValidationError

from indexes.errors import ModelUnavailable

LOOPBACK = ("127.0.0.1", "localhost", "::1")
MESSAGE_CHARS = 200
USER = re.compile(r"(?<=://)[^/?#\s]*@")


def is_served(model: str) -> bool:
    """Return whether a setting that names a model gives the address of an endpoint."""
    return model.startswith(("http://", "https://"))


def checked_address(url: str, *, setting: str) -> httpx.URL:
    """Return the address. Raises: `ModelUnavailable` naming `setting` if it has no host, or holds a password."""
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ModelUnavailable(f"{setting}: {error}") from error
    if not address.host:
        raise ModelUnavailable(f"{setting}: {url}: a host is missing")
    if address.userinfo:
        key_setting = setting.replace("_MODEL", "_API_KEY")
        raise ModelUnavailable(f"{setting}: {address.host}: no password in an address; use {key_setting}")
    return address


def shown_address(address: str) -> str:
    """Return an address for people to read: without the user and the password in it, any text without one as it is."""
    return USER.sub("***@", address)


def client_of(address: httpx.URL, api_key: SecretStr | None, *, timeout_s: float) -> httpx.AsyncClient:
    """Return a client that sends JSON and the key, through a proxy of the environment unless the host is this one."""
    headers = {"Content-Type": "application/json"}
    if api_key is not None:
        headers["Authorization"] = f"Bearer {api_key.get_secret_value()}"
    return httpx.AsyncClient(headers=headers, timeout=timeout_s, trust_env=address.host not in LOOPBACK)


def described(error: httpx.HTTPError) -> str:
    """Return one line of why a call failed."""
    return f"{type(error).__name__}: {str(error)[:MESSAGE_CHARS]}".rstrip(": ")


def reason(error: ValueError) -> str:
    """Return one line of what is wrong with a body, without the body."""
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(map(str, first['loc']))} {first['msg']}".strip()
    return str(error)
