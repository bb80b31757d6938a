"""The web page: one file, nothing from elsewhere, nothing parsed as HTML."""

from __future__ import annotations

import base64
import hashlib
import re

from tests.ragopt.api.fakes import Served


def test_page_is_self_contained(http: Served) -> None:
    """The page needs no key and names no other address."""
    response = http.get("/", key=None)
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/html")
    assert re.findall(r"(?:src|href)=\"(?!data:)|https?://|@import", response.text) == []


def test_policy_allows_this_script_alone(http: Served) -> None:
    """The policy names the page's one script and one style by their hashes, and allows nothing else to run."""
    response = http.get("/", key=None)
    policy = response.headers["content-security-policy"]
    for tag in ("script", "style"):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", response.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.search(r"\sstyle=|\son[a-z]+=", response.text) is None


def test_page_never_parses_what_it_shows(http: Served) -> None:
    """Answers and passages reach the page as text only."""
    script = http.get("/", key=None).text
    assert re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", script) is None


def test_page_is_usable_without_sight_or_a_wide_screen(http: Served) -> None:
    """The page names its language, labels its fields, announces its answer and fits a phone."""
    html = http.get("/", key=None).text
    labels = set(re.findall(r'<label for="([^"]+)"', html))
    assert labels >= set(re.findall(r'<(?:input|textarea) id="([^"]+)"', html))
    assert all(part in html for part in ('lang="en"', "width=device-width", 'aria-live="polite"', "color-scheme"))
