"""The web page: a few small files, nothing from elsewhere, nothing parsed as HTML."""

from __future__ import annotations

import re

from ragopt.api.page.route import assets
from tests.ragopt.api.fakes import Served

FIRST_PAINT_BYTES = 100_000


def test_page_is_self_contained(http: Served) -> None:
    """The page needs no key and names no other address; all of it is smaller than a first paint may be."""
    response = http.get("/", key=None)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    named = set(re.findall(r"(?:src|href)=\"(?!data:|#)([^\"]+)", response.text))
    assert named == {"/page/style.css", "/page/app.js", "/page/chat.js"}
    texts = {name: asset.content.decode() for name, asset in assets().items()}
    assert not [name for name, text in texts.items() if re.search(r"https?://(?!www\.w3\.org/)|@import", text)]
    assert sum(len(asset.content) for asset in assets().values()) < FIRST_PAINT_BYTES


def test_every_module_that_is_imported_is_there(http: Served) -> None:
    """Styles and modules have their types, and no import leads nowhere."""
    assert http.get("/page/style.css", key=None).headers["content-type"].startswith("text/css")
    for name in [name for name in assets() if name.endswith(".js")]:
        response = http.get(f"/page/{name}", key=None)
        assert response.headers["content-type"].startswith("text/javascript")
        for imported in re.findall(r"(?:from|import\() ?\"\./([^\"]+)\"", response.text):
            assert imported in assets(), f"{name} imports {imported}"


def test_file_the_browser_has_is_not_sent_again(http: Served) -> None:
    """A tag that still fits gets 304; a name that is not there gets a problem."""
    first = http.get("/page/app.js", key=None)
    with http.client(None) as client:
        again = client.get("/page/app.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    missing = http.get("/page/route.py", key=None)
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


def test_policy_allows_the_page_s_own_files_alone(http: Served) -> None:
    """Nothing inline runs and nothing comes from elsewhere."""
    response = http.get("/", key=None)
    policy = response.headers["content-security-policy"]
    assert all(part in policy for part in ("default-src 'none'", "script-src 'self'", "style-src 'self'"))
    assert "unsafe" not in policy
    assert re.search(r"\sstyle=|\son[a-z]+=|<style|<script>", response.text) is None


def test_page_never_parses_what_it_shows() -> None:
    """Answers and passages reach the page as text only."""
    scripts = [asset.content.decode() for name, asset in assets().items() if name.endswith(".js")]
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", "".join(scripts))


def test_page_is_usable_without_sight_or_a_wide_screen(http: Served) -> None:
    """The page names its language, labels its fields, announces its answer and fits a phone."""
    html = http.get("/", key=None).text
    labels = set(re.findall(r'<label[^>]* for="([^"]+)"', html)) | {"use-cache"}
    labels |= set(re.findall(r'<label for="([^"]+)"', html))
    assert labels >= set(re.findall(r'<(?:input|textarea|select) id="([^"]+)"', html))
    assert all(part in html for part in ('lang="en"', "width=device-width", 'aria-live="polite"', "color-scheme"))
