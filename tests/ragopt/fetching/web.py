"""A real web server on this machine, and a resolver that says what a test wants."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from pathlib import Path

from ragopt.fetching.fetcher import UrlFetcher
from ragopt.settings.url_ingest import UrlIngestSettings

LOOPBACK = (ip_network("127.0.0.0/8"),)
# A certificate for docs.example and its key, made for these tests and believed nowhere else.
CERTIFICATE = Path(__file__).parent / "docs_example.pem"


@dataclass
class Page:
    """What the server answers at a path."""

    body: bytes = b""
    kind: str = "text/html; charset=utf-8"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Web:
    """The server: its pages, its port, and the headers of each request it got, with the path under `:path`."""

    pages: dict[str, Page]
    port: int = 0
    asked: list[dict[str, str]] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)

    def fetcher(self, resolve: Resolver | None = None, **rules: object) -> UrlFetcher:
        """Return a fetcher that may ask this server, at whatever host the resolver puts here."""
        stated = {"enabled": True, "ports": (self.port,), "networks": LOOPBACK, "timeout_s": 10, **rules}
        context = ssl.create_default_context(cafile=str(CERTIFICATE))
        return UrlFetcher(UrlIngestSettings.model_validate(stated), resolve=resolve or Resolver(), verify=context)

    def url(self, path: str = "/", *, host: str = "docs.example", scheme: str = "http") -> str:
        """Return the URL of a path."""
        return f"{scheme}://{host}:{self.port}{path}"


class Resolver:
    """Says of each host, in turn, what its addresses are; the last answer stays. This machine where nothing is said."""

    def __init__(self, **answers: Sequence[Sequence[str]]) -> None:
        self._answers = {host.replace("_", "."): list(said) for host, said in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return the next answer."""
        self.asked.append(host)
        said = self._answers.get(host, [["127.0.0.1"]])
        return said.pop(0) if len(said) > 1 else said[0]


@contextmanager
def served(pages: dict[str, Page], *, tls: bool = False) -> Iterator[Web]:
    """Serve pages on a free port of this machine for the block."""
    web = Web(pages)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(web))
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        context.sni_callback = noting(web)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    web.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def noting(web: Web) -> Callable[[ssl.SSLObject, str | None, ssl.SSLContext], None]:
    """Return what notes the name that a handshake asks for."""

    def note(_socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        web.names.append(name)

    return note


def handler_of(web: Web) -> type[BaseHTTPRequestHandler]:
    """Return the handler that answers with the pages."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append({":path": self.path, **{name.lower(): value for name, value in self.headers.items()}})
            page = web.pages.get(self.path, Page(status=404))
            self.send_response(page.status)
            usual = {"Content-Type": page.kind, "Content-Length": str(len(page.body))}
            for name, value in {**usual, **page.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page.body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler
