"""The web page in a real browser, in front of a served stand-in service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.browser import CHROMIUM, Page, browser_page
from tests.ragopt.api.fakes import KEY, Served, served

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")]

ASK = "question.value = 'Is the sky blue?'; form.requestSubmit(); true"
DONE = "answer.getAttribute('aria-busy') === 'false'"


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    """Yield a served stand-in service."""
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """Yield a tab of a browser."""
    with browser_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


def test_question_is_answered_with_its_sources(http: Served, browser: Page) -> None:
    """A question is answered; a citation opens its source and highlights the quote; the timings are listed."""
    browser.open(f"{http.url}/#key={KEY}")
    browser.evaluate(ASK)
    browser.wait_for(f"{DONE} && document.querySelectorAll('.mark').length === 2")
    assert browser.evaluate("answer.textContent") == "The sky is blue [1]. Grass is green [1]."
    assert browser.evaluate("[...document.querySelectorAll('.mark')].map((m) => m.className)") == [
        "mark supported",
        "mark unsupported",
    ]
    browser.evaluate("document.querySelector('.mark').click()")
    assert browser.evaluate("document.querySelector('#sources mark').textContent") == "The sky is blue."
    assert browser.evaluate("document.querySelector('#sources details').open")
    assert "generate" in browser.evaluate("timings.textContent")


def test_key_leaves_the_address_and_survives_a_reload(http: Served, browser: Page) -> None:
    """The key in the fragment is gone from the address at once, and still known after a reload."""
    browser.open(f"{http.url}/#key={KEY}")
    browser.wait_for(f"location.href === '{http.url}/'")
    browser.open(f"{http.url}/")
    assert browser.evaluate("document.getElementById('key-row').hidden")


def test_wrong_key_is_asked_for_again(http: Served, browser: Page) -> None:
    """A key that does not work shows the reason and the field for another one."""
    browser.open(f"{http.url}/?again#key=wrong")
    browser.evaluate(ASK)
    browser.wait_for("document.getElementById('status').className === 'error'")
    assert "unknown key" in browser.evaluate("document.getElementById('status').textContent")
    assert not browser.evaluate("document.getElementById('key-row').hidden")
    browser.evaluate(f"document.getElementById('key').value = '{KEY}'; {ASK}")
    browser.wait_for("document.querySelectorAll('.mark').length === 2")


def test_page_fits_a_phone(http: Served, browser: Page) -> None:
    """On a narrow screen nothing has to be scrolled sideways."""
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    browser.open(f"{http.url}/?phone#key={KEY}")
    browser.evaluate(ASK)
    browser.wait_for("document.querySelectorAll('.mark').length === 2")
    assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
