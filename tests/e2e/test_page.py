"""The web page in a real browser, in front of a served stand-in service."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ragopt.state.ledger import DaySums
from tests.e2e.browser import CHROMIUM, Page, browser_page
from tests.house.source import ROOT
from tests.ragopt.api.fakes import KEY, Served, served

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")]

# `.ci/run` puts it there; its licence is not ours to ship.
AXE = ROOT / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
ASK = "question.value = 'Is the sky blue?'; form.requestSubmit(); true"
ANSWERED = "document.querySelectorAll('.turn .mark').length === 2"


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    """Yield a served stand-in service."""
    with served() as running:
        yield running


@pytest.fixture(scope="module")
def browser(module_dir: Path) -> Iterator[Page]:
    """Yield a tab of a browser."""
    with browser_page(module_dir) as page:
        yield page


def opened(browser: Page, http: Served, view: str = "chat") -> None:
    """Load the page anew and go to one of its views."""
    http.service.reset()
    browser.open("about:blank")
    browser.open(f"{http.url}/#key={KEY}")
    browser.wait_for(f"location.href.split('#')[0] === '{http.url}/' && document.querySelector('.welcome') !== null")
    browser.evaluate(f"location.hash = '#/{view}'; true")


def test_answer_is_seen_arriving_and_its_citation_opens_the_source(http: Served, browser: Page) -> None:
    """The first sentence stands before the second is written; a citation shows its document with the quote marked."""
    opened(browser, http)
    document = {"id": "document-1", "title": "Sky", "text": "The sky is blue. Grass is green."}
    http.post("/ingest", {"documents": [document]})
    http.service.pipeline.gate = threading.Event()
    browser.evaluate(ASK)
    browser.wait_for("document.querySelector('.answer')?.textContent === 'The sky is blue [1].'")
    assert browser.evaluate("document.querySelector('.answer').getAttribute('aria-busy')") == "true"
    http.service.pipeline.gate.set()
    browser.wait_for(ANSWERED)
    assert browser.evaluate("document.querySelector('.answer').textContent") == "The sky is blue 1. Grass is green 1."
    assert browser.evaluate("[...document.querySelectorAll('.mark')].map((m) => m.className)") == [
        "mark supported",
        "mark unsupported",
    ]
    browser.evaluate("document.querySelector('.mark').click()")
    browser.wait_for("document.getElementById('source').open")
    assert browser.evaluate("document.querySelector('#source-text mark').textContent") == "The sky is blue."
    assert browser.evaluate("document.getElementById('source-text').textContent") == document["text"]


def test_inspector_shows_tokens_savings_time_route_and_cache(http: Served, browser: Page) -> None:
    """What the answer says of itself is drawn, and stands there as text too."""
    opened(browser, http)
    browser.evaluate(ASK)
    browser.wait_for(ANSWERED)
    shown = browser.evaluate("inspector.textContent")
    for said in ("passages", "answer 12", "instead of $0.00200", "fewer passages", "generate", "extractive", "miss"):
        assert said in shown
    assert browser.evaluate("document.querySelectorAll('#inspector .waterfall rect').length") >= 2


def test_second_question_goes_into_the_same_conversation(http: Served, browser: Page) -> None:
    """The service keeps the history under one id, until a new conversation is started."""
    opened(browser, http)
    for _ in range(2):
        browser.evaluate(ASK)
        browser.wait_for("document.querySelectorAll('.answer[aria-busy=true]').length === 0")
    browser.wait_for("document.querySelectorAll('.turn .mark').length === 4")
    assert len(http.service.conversations.turns) == 1
    browser.evaluate("document.getElementById('renew').click(); true")
    assert browser.evaluate("document.querySelectorAll('.turn').length") == 0
    browser.evaluate(ASK)
    browser.wait_for(ANSWERED)
    assert len(http.service.conversations.turns) == 2


def test_upload_is_followed_until_it_is_done(http: Served, browser: Page) -> None:
    """A chosen file goes in, its progress is shown, and the list has it; deleting takes it out again."""
    opened(browser, http, "documents")
    browser.wait_for("document.getElementById('drop') !== null")
    browser.evaluate(
        """(() => {
            const files = new DataTransfer();
            files.items.add(new File(["Cats purr."], "cats.txt", { type: "text/plain" }));
            document.getElementById("files").files = files.files;
            document.getElementById("files").dispatchEvent(new Event("change"));
            return true;
        })()"""
    )
    browser.wait_for("document.querySelector('#uploads li')?.textContent.includes('1 created')")
    browser.wait_for("document.getElementById('stored').textContent.includes('cats.txt')")
    assert [key[2] for key in http.service.library.stored] == ["cats.txt"]
    browser.evaluate("window.confirm = () => true; document.querySelector('#stored button').click(); true")
    browser.wait_for("!document.getElementById('stored').textContent.includes('cats.txt')")


def test_readers_of_an_upload_are_stored_and_shown(http: Served, browser: Page) -> None:
    """What is typed as readers becomes the access list, and the list names it; others are everybody's."""
    opened(browser, http, "documents")
    browser.wait_for("document.getElementById('drop') !== null")
    browser.evaluate(
        """(() => {
            document.getElementById("readers").value = "group:hr, user:ann";
            const files = new DataTransfer();
            files.items.add(new File(["Salaries are secret."], "pay.txt", { type: "text/plain" }));
            document.getElementById("files").files = files.files;
            document.getElementById("files").dispatchEvent(new Event("change"));
            return true;
        })()"""
    )
    browser.wait_for("document.getElementById('stored').textContent.includes('group:hr, user:ann')")
    assert browser.evaluate("document.querySelector('#stored thead').textContent").startswith("DocumentReaders")


def test_spend_is_shown_by_day_and_technique(http: Served, browser: Page) -> None:
    """The tiles, the days and the tables hold what /stats says."""
    opened(browser, http)
    today = datetime.now(UTC).date()
    sums = {"answers": 2, "calls": 3, "spent": 5 * 10**8, "baseline": 2 * 10**9, "saved": 15 * 10**8}
    by_name = {"total": {"": sums}, "model": {"small": sums}, "technique": {"context": {"saved": 15 * 10**8}}}
    http.service.accounts.ledger.read["acme", today] = DaySums(today, by_name)
    browser.evaluate("location.hash = '#/spend'; true")
    browser.wait_for("document.querySelector('.tiles') !== null")
    shown = browser.evaluate("spend.textContent")
    assert all(said in shown for said in ("$0.50", "$1.50", "75 % of the baseline", "small"))
    assert browser.evaluate("document.querySelectorAll('.days g').length") == 30


def test_key_leaves_the_address_and_survives_a_reload(http: Served, browser: Page) -> None:
    """The key in the fragment is gone from the address at once, and still known after a reload."""
    opened(browser, http)
    assert KEY not in browser.evaluate("location.href")
    browser.open(f"{http.url}/?reloaded")
    browser.wait_for("document.querySelector('.welcome') !== null")
    assert not browser.evaluate("document.getElementById('key-dialog').open")


def test_wrong_key_is_asked_for_again(http: Served, browser: Page) -> None:
    """A key that does not work shows the reason and the field for another one."""
    browser.open(f"{http.url}/?again#key=wrong")
    browser.wait_for("document.querySelector('.welcome') !== null")
    browser.evaluate(ASK)
    browser.wait_for("document.getElementById('key-dialog').open")
    assert "unknown key" in browser.evaluate("document.getElementById('status').textContent")
    browser.evaluate(
        f"document.getElementById('key').value = '{KEY}'; document.getElementById('key-form').requestSubmit(); true"
    )
    browser.wait_for("!document.getElementById('key-dialog').open")
    browser.evaluate(ASK)
    browser.wait_for(ANSWERED)


@pytest.mark.skipif(not AXE.is_file(), reason=f"there is no axe-core at {AXE.relative_to(ROOT)}")
def test_axe_finds_nothing_serious(http: Served, browser: Page) -> None:
    """Every view, light and dark, passes axe's rules for impact serious and critical."""
    script = AXE.read_text(encoding="utf-8")
    found: list[object] = []
    for scheme in ("light", "dark"):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.call("Emulation.setEmulatedMedia", features=features)
        for view in ("chat", "documents", "spend"):
            opened(browser, http, view)
            if view == "chat":
                browser.evaluate(ASK)
                browser.wait_for(ANSWERED)
            browser.call("Runtime.evaluate", expression=script)
            found += json.loads(browser.evaluate(AXE_RUN))
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert found == []


AXE_RUN = """axe.run().then((result) => JSON.stringify(result.violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => [one.id, one.nodes[0].html.slice(0, 120)])))"""


def test_page_fits_a_phone(http: Served, browser: Page) -> None:
    """On a narrow screen nothing has to be scrolled sideways."""
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    for view in ("chat", "documents", "spend"):
        opened(browser, http, view)
        browser.wait_for(f"!document.getElementById('{view}').hidden")
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    browser.call("Emulation.clearDeviceMetricsOverride")
