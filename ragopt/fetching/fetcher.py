"""A URL to the file behind it, as nobody can turn it against the network that the service runs in.

A host is resolved once, every address it has is judged, and the connection goes to the address that
was judged: a name that means something else a moment later changes nothing. Every redirect is a new
URL that is judged anew. No cookie, credential or proxy of this machine goes along.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from pathlib import PurePosixPath
from typing import Protocol
from urllib.parse import unquote

import httpx
from anyio import CapacityLimiter, to_thread

from ragopt.errors import UrlRefused, UrlsOff, UrlUnreachable
from ragopt.fetching.addresses import Address, may_be_fetched
from ragopt.fetching.reading import as_utf8, bounded, suffix_of
from ragopt.settings.url_ingest import UrlIngestSettings

REDIRECTS = frozenset({301, 302, 303, 307, 308})
MAX_URL_CHARS = 2_048
# Of the addresses of a host, so many are tried one after the other.
ADDRESSES_TRIED = 2
# Names looked up at once; a look-up cannot be given up, so no more threads than these ever wait for one.
THREADS = 4
ACCEPT = "text/html, text/markdown, text/plain, application/pdf, */*;q=0.1"
NOT_ALLOWED = "its host has no address that may be fetched from: [url_ingest] networks allows networks of your own"


class Resolve(Protocol):
    """The name of a host to its addresses."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses, at least one. Raises: `OSError`."""


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """What was at a URL in the end: its name, with the suffix of its type, and its bytes, unpacked."""

    url: str
    name: str
    data: bytes


class SystemResolver:
    """Hosts as this machine looks them up, in threads of its own: a slow name server holds up nothing else."""

    def __init__(self) -> None:
        self._threads = CapacityLimiter(THREADS)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the addresses of a host, each once. Raises: `OSError`."""
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await to_thread.run_sync(look_up, limiter=self._threads)
        return list(dict.fromkeys(str(item[4][0]) for item in found))


class UrlFetcher:
    """Fetches what callers name. resolve: how hosts are looked up. verify: which certificates are believed."""

    def __init__(
        self, rules: UrlIngestSettings, *, resolve: Resolve | None = None, verify: ssl.SSLContext | None = None
    ) -> None:
        self._rules = rules
        self._resolve = resolve or SystemResolver()
        self._verify = verify
        self._places = asyncio.Semaphore(rules.at_once)

    def refuse_unless_on(self, urls: int) -> None:
        """Return if so many URLs of one request may be fetched. Raises: `UrlsOff`, `UrlRefused`."""
        if not self._rules.enabled:
            raise UrlsOff("Documents by URL are off: the operator sets [url_ingest] enabled = true to allow them.")
        if urls > self._rules.per_request:
            raise UrlRefused(f"{urls} URLs; a request names at most {self._rules.per_request}")

    async def __call__(self, url: str) -> FetchedFile:
        """Return the file behind a URL. Raises: `UrlRefused`, `UrlUnreachable`."""
        async with self._places:
            try:
                async with asyncio.timeout(self._rules.timeout_s):
                    return await self._followed(url)
            except TimeoutError as error:
                raise UrlUnreachable(f"it did not come within {self._rules.timeout_s:g} s") from error

    async def _followed(self, url: str) -> FetchedFile:
        here = parsed(url)
        for _ in range(self._rules.redirects + 1):
            found = await self._asked(here)
            if isinstance(found, FetchedFile):
                return found
            if here.scheme == "https" and found.scheme != "https":
                raise UrlRefused("it redirects from https to http")
            here = found
        raise UrlRefused(f"it redirects more than {self._rules.redirects} times")

    async def _asked(self, url: httpx.URL) -> FetchedFile | httpx.URL:
        """Return the file at one URL, or where it redirects to."""
        for address in (addresses := await self._addresses(url)):
            try:
                return await self._fetched(url, address)
            except httpx.ConnectError as error:
                if address is addresses[-1]:
                    raise UrlUnreachable("its host takes no connection, or its certificate is not believed") from error
            except httpx.HTTPError as error:
                raise UrlUnreachable(f"its host does not answer as it should: {type(error).__name__}") from error
        raise UrlRefused(NOT_ALLOWED)

    async def _addresses(self, url: httpx.URL) -> list[Address]:
        """Return where a URL may be asked for, at most two addresses. Raises: `UrlRefused`.

        What does not resolve is refused in the same words: who asks learns nothing of names inside.
        """
        host, port = host_of(url), port_of(url)
        if not self._rules.may_ask(host):
            raise UrlRefused("its host is not among those of [url_ingest] hosts")
        if port not in self._rules.ports:
            raise UrlRefused(f"its port is not among {', '.join(map(str, self._rules.ports))}: [url_ingest] ports")
        try:
            found = [ip_address(item) for item in await self._resolve(host, port)]
        except (OSError, ValueError) as error:
            raise UrlRefused(NOT_ALLOWED) from error
        # All of them: a host with one address outside and one inside is not to be asked at the one it prefers today.
        if not found or not all(may_be_fetched(address, self._rules.networks) for address in found):
            raise UrlRefused(NOT_ALLOWED)
        return found[:ADDRESSES_TRIED]

    async def _fetched(self, url: httpx.URL, address: Address) -> FetchedFile | httpx.URL:
        request = request_to(url, address, timeout_s=self._rules.timeout_s)
        # One of its own for each: a connection that is open already would be used for another host of that address,
        # whose certificate nobody looked at.
        async with httpx.AsyncHTTPTransport(verify=await self._believed(url), trust_env=False) as transport:
            response = await transport.handle_async_request(request)
            try:
                return await self._read(response, url)
            finally:
                await response.aclose()

    async def _believed(self, url: httpx.URL) -> ssl.SSLContext:
        """Return which certificates are believed: those of the usual roots, read once; without TLS none."""
        if url.scheme == "http":
            return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._verify is None:
            self._verify = await asyncio.to_thread(httpx.create_ssl_context, trust_env=False)
        return self._verify

    async def _read(self, response: httpx.Response, url: httpx.URL) -> FetchedFile | httpx.URL:
        if response.status_code in REDIRECTS:
            return redirected(url, response.headers.get("location", ""))
        if response.status_code != httpx.codes.OK:
            raise UrlUnreachable(f"its host answers {response.status_code}")
        kind = response.headers.get("content-type", "")
        suffix = suffix_of(kind, url.path)
        encoding = response.headers.get("content-encoding", "")
        data = await bounded(response.aiter_raw(), encoding=encoding, max_bytes=self._rules.max_bytes)
        stem = PurePosixPath(unquote(url.path, errors="replace")).stem or host_of(url)
        return FetchedFile(str(url), f"{stem}{suffix}", as_utf8(data, kind, suffix))


def parsed(text: str) -> httpx.URL:
    """Return the URL if it can be asked for at all. Raises: `UrlRefused`."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError, TypeError) as error:
        raise UrlRefused("it is no URL") from error
    if url.scheme not in ("http", "https") or not url.host or len(text) > MAX_URL_CHARS:
        raise UrlRefused(f"it is not http or https, or over {MAX_URL_CHARS} characters")
    if url.userinfo:
        raise UrlRefused("it holds a user name or a password")
    return url.copy_with(fragment=None)


def redirected(url: httpx.URL, location: str) -> httpx.URL:
    """Return where a response leads to. Raises: `UrlRefused`."""
    if not location:
        raise UrlRefused("it redirects to nowhere")
    try:
        return parsed(str(url.join(location)))
    except (httpx.InvalidURL, ValueError) as error:
        raise UrlRefused("it redirects to no URL") from error


def host_of(url: httpx.URL) -> str:
    """Return the host as it is looked up and named in certificates: ASCII, lower case, without a last dot."""
    return url.raw_host.decode("ascii").lower().rstrip(".")


def port_of(url: httpx.URL) -> int:
    """Return the port, the scheme's own where the URL names none."""
    return url.port or (443 if url.scheme == "https" else 80)


def request_to(url: httpx.URL, address: Address, *, timeout_s: float) -> httpx.Request:
    """Return the request for a URL to one address: the host stays in `Host`, and in what the certificate must name."""
    headers = {
        "Host": url.netloc.decode("ascii"),
        "User-Agent": "ragopt",
        "Accept": ACCEPT,
        "Accept-Encoding": "gzip",
    }
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), timeout_s)
    extensions = {"sni_hostname": host_of(url), "timeout": timeouts}
    return httpx.Request("GET", url.copy_with(host=str(address)), headers=headers, extensions=extensions)
