"""URLs against a real server: what comes back, and every way in which a URL must not be turned against this network."""

from __future__ import annotations

import asyncio
import gzip
import socket
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest

from ragopt.errors import UrlRefused, UrlsOff, UrlUnreachable
from ragopt.fetching.fetcher import FetchedFile, SystemResolver, UrlFetcher
from ragopt.settings.url_ingest import UrlIngestSettings
from tests.environment import environment
from tests.ragopt.fetching.web import Page, Resolver, served

HTML = b"<title>Handbook</title><p>The office closes at ten.</p>"


def run(work: Coroutine[Any, Any, FetchedFile]) -> FetchedFile:
    """Return what was fetched."""
    return asyncio.run(work)


def test_a_page_comes_with_its_name_and_type() -> None:
    """The host stays in the `Host` header; nothing of this machine or of the caller goes along."""
    with served({"/docs/handbook": Page(HTML)}) as web:
        found = run(web.fetcher()(web.url("/docs/handbook#part")))
        assert (found.name, found.data, found.url) == ("handbook.html", HTML, web.url("/docs/handbook"))
        (asked,) = web.asked
    assert asked["host"] == f"docs.example:{web.port}"
    assert not {"cookie", "authorization", "proxy-authorization", "referer"} & asked.keys()


def test_a_host_is_looked_up_once_and_asked_there() -> None:
    """A name that means another address a moment later changes nothing."""
    resolver = Resolver(docs_example=[["127.0.0.1"], ["10.0.0.1"]])
    with served({"/": Page(HTML)}) as web:
        assert run(web.fetcher(resolver)(web.url())).data == HTML
    assert resolver.asked == ["docs.example"]


@pytest.mark.parametrize(
    "addresses",
    [["10.0.0.1"], ["93.184.215.14", "127.0.0.1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["fe80::1%lo"], []],
)
def test_a_host_inside_is_never_asked(addresses: list[str]) -> None:
    """One address that is not public refuses the host, whatever its others are."""
    with served({"/": Page(HTML)}) as web, pytest.raises(UrlRefused, match="no address that may be fetched from"):
        run(web.fetcher(Resolver(docs_example=[addresses]), networks=())(web.url()))
    assert web.asked == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "017700000001", "127.1", "[::1]", "localhost"])
def test_every_way_to_write_this_machine_is_refused(host: str) -> None:
    """Decimal, hexadecimal and octal addresses are what the system takes them for."""
    with served({"/": Page(HTML)}) as web:
        rules = UrlIngestSettings(enabled=True, ports=(web.port,))
        with pytest.raises(UrlRefused):
            run(UrlFetcher(rules)(web.url(host=host)))
    assert web.asked == []


def test_who_asks_learns_nothing_of_names_inside() -> None:
    """A host that does not exist is refused in the words of one that lies inside."""

    class Unknown:
        async def __call__(self, host: str, port: int) -> list[str]:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")

    said = []
    for resolve in (Unknown(), Resolver(docs_example=[["10.0.0.1"]])):
        with pytest.raises(UrlRefused) as refused:
            run(UrlFetcher(UrlIngestSettings(enabled=True), resolve=resolve)("http://docs.example/"))
        said.append(str(refused.value))
    assert said[0] == said[1]


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://docs.example/", "gopher://docs.example/", "//docs.example/", "docs.example", ""),
        *("http://", "http:///x", "http://user:secret@docs.example/", "http://docs.example:22/", "https://\x00/"),
        *("http://docs.example:80:80/", "javascript:alert(1)", "http://docs.example/" + "x" * 3_000),
    ],
)
def test_what_is_no_web_address_is_refused(url: str) -> None:
    """Other schemes, credentials, other ports, and what cannot be read."""
    resolver = Resolver(docs_example=[["93.184.215.14"]])
    with pytest.raises(UrlRefused):
        run(UrlFetcher(UrlIngestSettings(enabled=True), resolve=resolver)(url))
    assert resolver.asked == []


def test_redirects_are_followed_and_judged_anew() -> None:
    """Relative or to another host, up to the bound; each host is looked up and judged."""
    resolver = Resolver()
    with served({}) as web:
        web.pages |= {
            "/a": Page(status=302, headers={"Location": "/b"}),
            "/b": Page(status=308, headers={"Location": web.url("/c", host="other.example")}),
            "/c": Page(HTML),
        }
        found = run(web.fetcher(resolver)(web.url("/a")))
        assert (found.url, resolver.asked) == (
            web.url("/c", host="other.example"),
            ["docs.example", "docs.example", "other.example"],
        )
        with pytest.raises(UrlRefused, match="more than 1 times"):
            run(web.fetcher(redirects=1)(web.url("/a")))


@pytest.mark.parametrize(
    "location",
    [
        "http://inside.example/",
        "file:///etc/passwd",
        "http://[::1]/",
        "//user@docs.example/",
        "http://docs.example:22/",
        "",
    ],
)
def test_a_redirect_leads_nowhere_that_a_url_may_not(location: str) -> None:
    """To an address inside, to another scheme, with credentials, to another port, to nothing."""
    resolver = Resolver(inside_example=[["10.0.0.1"]], **{"::1": [["::1"]]})
    with served({"/": Page(status=301, headers={"Location": location})}) as web:
        with pytest.raises(UrlRefused):
            run(web.fetcher(resolver, ports=(web.port, 80))(web.url()))
        assert len(web.asked) == 1


def test_a_redirect_to_a_host_that_means_something_else_now_is_refused() -> None:
    """The same host, public at first and inside at the second look."""
    resolver = Resolver(docs_example=[["127.0.0.1"], ["10.0.0.1"]])
    with served({"/": Page(status=302, headers={"Location": "/b"}), "/b": Page(HTML)}) as web:
        with pytest.raises(UrlRefused):
            run(web.fetcher(resolver)(web.url()))
        assert [asked[":path"] for asked in web.asked] == ["/"]


def test_certificates_are_for_the_name_and_not_for_the_address() -> None:
    """The handshake names the host; a host whose name the certificate does not bear is refused."""
    with served({"/": Page(HTML)}, tls=True) as web:
        assert run(web.fetcher()(web.url(scheme="https"))).data == HTML
        with pytest.raises(UrlUnreachable, match="certificate"):
            run(web.fetcher()(web.url(scheme="https", host="other.example")))
    assert web.names == ["docs.example", "other.example"]


def test_https_does_not_lead_to_http() -> None:
    """A redirect that drops the encryption is refused."""
    page = Page(status=302, headers={"Location": "http://docs.example/"})
    with served({"/": page}, tls=True) as web, pytest.raises(UrlRefused, match="https to http"):
        run(web.fetcher()(web.url(scheme="https")))


@pytest.mark.parametrize(
    "page",
    [
        Page(b"x" * 1_001),
        Page(gzip.compress(b"x" * 1_000_000), headers={"Content-Encoding": "gzip"}),
        Page(gzip.compress(HTML)[:-9], headers={"Content-Encoding": "gzip"}),
        Page(gzip.compress(HTML) + b"more", headers={"Content-Encoding": "gzip"}),
        Page(b"no gzip", headers={"Content-Encoding": "gzip"}),
        Page(HTML, headers={"Content-Encoding": "br"}),
        Page(HTML, kind="application/octet-stream"),
        Page(HTML, kind="image/png"),
        Page(HTML, kind=""),
    ],
)
def test_what_is_too_much_or_nothing_to_read_is_refused(page: Page) -> None:
    """Too long packed or unpacked, damaged, in another encoding, or of another type."""
    with served({"/": page}) as web, pytest.raises(UrlRefused):
        run(web.fetcher(max_bytes=1_000)(web.url()))


def test_packed_pages_and_other_charsets_are_read() -> None:
    """Gzip is unpacked; a text in another charset becomes UTF-8."""
    pages = {
        "/a.md": Page(gzip.compress(b"# Handbook"), "text/plain", headers={"Content-Encoding": "gzip"}),
        "/b": Page("Größe".encode("latin-1"), "text/plain; charset=ISO-8859-1"),
        "/c": Page(b"x", "text/plain; charset=zlib"),
        "/d%2f..%2fe.exe": Page(b"%PDF-1.7", "application/pdf"),
    }
    with served(pages) as web:
        found = {path: run(web.fetcher()(web.url(path))) for path in pages}
    assert (found["/a.md"].name, found["/a.md"].data) == ("a.md", b"# Handbook")
    assert found["/b"].data.decode("utf-8-sig") == "Größe"
    assert found["/c"].data == b"x"
    assert found["/d%2f..%2fe.exe"].name == "e.pdf"


def test_errors_and_silence_are_told_apart_from_refusals() -> None:
    """A status that is no success, a port that nobody listens on, and a server that says nothing."""
    with served({"/": Page(status=500)}) as web, pytest.raises(UrlUnreachable, match="500"):
        run(web.fetcher()(web.url()))
    with pytest.raises(UrlUnreachable, match="takes no connection"):
        run(web.fetcher()(web.url()))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        web.port = silent.getsockname()[1]
        with pytest.raises(UrlUnreachable, match="within"):
            run(web.fetcher(timeout_s=0.2)(web.url()))


def test_no_proxy_of_the_environment_is_asked() -> None:
    """A proxy would resolve the host by itself."""
    proxy = "http://127.0.0.1:9"
    with environment(http_proxy=proxy, HTTP_PROXY=proxy, ALL_PROXY=proxy), served({"/": Page(HTML)}) as web:
        assert run(web.fetcher()(web.url())).data == HTML


def test_hosts_are_a_list_where_there_is_one() -> None:
    """A host or all below it; what only looks like it is refused before it is looked up."""
    rules = UrlIngestSettings(enabled=True, hosts=("Docs.Example", "*.wiki.example"))
    allowed = ("docs.example", "a.wiki.example", "b.a.wiki.example")
    assert [rules.may_ask(host) for host in allowed] == [True] * 3
    others = ("wiki.example", "evilwiki.example", "docs.example.evil", "xdocs.example", "127.0.0.1")
    assert [rules.may_ask(host) for host in others] == [False] * 5
    resolver = Resolver()
    with pytest.raises(UrlRefused, match="hosts"):
        run(UrlFetcher(rules, resolve=resolver)("http://evil.example/"))
    assert resolver.asked == []
    with pytest.raises(ValueError, match="no host"):
        UrlIngestSettings(hosts=("http://docs.example",))


def test_it_is_off_until_it_is_turned_on() -> None:
    """And takes no more URLs at once than it says."""
    with pytest.raises(UrlsOff, match="enabled = true"):
        UrlFetcher(UrlIngestSettings()).refuse_unless_on(1)
    with pytest.raises(UrlRefused, match="at most 2"):
        UrlFetcher(UrlIngestSettings(enabled=True, per_request=2)).refuse_unless_on(3)


def test_this_machine_resolves() -> None:
    """The system's own resolver gives addresses, each once."""

    async def looked_up() -> Sequence[str]:
        return await SystemResolver()("localhost", 80)

    found = asyncio.run(looked_up())
    assert found
    assert len(found) == len(set(found))
