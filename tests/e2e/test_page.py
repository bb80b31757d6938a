"""The web page in a real browser, in front of a served stand-in service."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from indexes.records import Document
from ragopt.config import Settings
from ragopt.settings.money import TargetSettings
from ragopt.state.ledger import DaySums
from tests.e2e.browser import CHROMIUM, SHIFT, Page, browser_page
from tests.house.source import ROOT
from tests.ragopt.api.fakes import KEY, TEXT, FakeService, Served, served

pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")]

# `.ci/run` puts it there; its licence is not ours to ship.
AXE = ROOT / ".venv" / "axe" / "node_modules" / "axe-core" / "axe.min.js"
ASK = "question.value = 'Is the sky blue?'; form.requestSubmit(); true"
ANSWERED = "document.querySelectorAll('.turn .mark').length === 2"
TARGETS = TargetSettings(cost_per_answer_usd=Decimal("0.04"), saved_share=0.5, supported_share=0.9)
# What a day spent and saved in nano-USD; twice that of the days before is drift, and over the target.
CALM, BUSY = (5 * 10**8, 15 * 10**8), (10**9, 3 * 10**9)


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    """Yield a served stand-in service that has targets."""
    with served(FakeService(settings=Settings(queue_wait_s=0.05, drain_s=5, targets=TARGETS))) as running:
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


def choose(browser: Page, **texts: str) -> None:
    """Choose text files in the documents view, as its dialog does; a name's `_` stands for its dot."""
    named = {name.replace("_", "."): text for name, text in texts.items()}
    browser.wait_for("document.getElementById('drop') !== null")
    browser.evaluate(
        f"""(() => {{
            const files = new DataTransfer();
            for (const [name, text] of Object.entries({json.dumps(named)})) files.items.add(new File([text], name));
            document.getElementById("files").files = files.files;
            document.getElementById("files").dispatchEvent(new Event("change"));
            return true;
        }})()"""
    )


def spent(http: Served, *days: tuple[int, int]) -> None:
    """Write what days spent and saved into the ledger, today last; the small model spent a fifth of it."""
    today = datetime.now(UTC).date()
    for back, money in enumerate(reversed(days)):
        whole, small, large = (sums(*(amount * fifths // 5 for amount in money)) for fifths in (5, 1, 4))
        parts = {"context": {"saved": money[1] * 2}, "retries": {"saved": -money[1]}}
        by_name = {
            "total": {"": {**whole, "claims": 40, "supported": 30}},
            "model": {"small": small, "large": large},
            "team": {"support": large, "sales": small},
            "feature": {"chat": whole, "trial": {**small, "saved": -small["saved"]}},
            "user": {"ann": small, "": large},
            "technique": parts,
        }
        day = today - timedelta(days=back)
        http.service.accounts.ledger.read["acme", day] = DaySums(day, by_name)


def sums(spent: int, saved: int) -> dict[str, int]:
    """Return the measures of one name on one day; money in nano-USD."""
    return {"answers": 20, "calls": 30, "spent": spent, "baseline": spent + saved, "saved": saved}


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
    """A chosen file goes in and the list has it, one that cannot be read says why; deleting takes it out again."""
    opened(browser, http, "documents")
    choose(browser, cats_txt="Cats purr.", blank_txt=" ")
    browser.wait_for("document.querySelector('#uploads li')?.textContent.includes('1 created')")
    assert "1 failed" in browser.evaluate("document.getElementById('uploads').textContent")
    assert "blank.txt: the text holds nothing" in browser.evaluate("document.getElementById('uploads').textContent")
    browser.wait_for("document.getElementById('stored').textContent.includes('cats.txt')")
    assert [key[2] for key in http.service.library.stored] == ["cats.txt"]
    browser.evaluate("window.confirm = () => true; document.querySelector('#stored button').click(); true")
    browser.wait_for("!document.getElementById('stored').textContent.includes('cats.txt')")


def test_readers_of_an_upload_are_stored_and_shown(http: Served, browser: Page) -> None:
    """What is typed as readers becomes the access list, and the list names it; others are everybody's."""
    opened(browser, http, "documents")
    browser.wait_for("document.getElementById('drop') !== null")
    browser.evaluate("document.getElementById('readers').value = 'group:hr, user:ann'; true")
    choose(browser, pay_txt="Salaries are secret.")
    browser.wait_for("document.getElementById('stored').textContent.includes('group:hr, user:ann')")
    assert browser.evaluate("document.querySelector('#stored thead').textContent").startswith("DocumentReaders")


def test_spend_is_shown_by_day_and_technique(http: Served, browser: Page) -> None:
    """The tiles, the days and the tables hold what /stats says."""
    opened(browser, http)
    spent(http, CALM)
    browser.evaluate("location.hash = '#/spend'; true")
    browser.wait_for("document.querySelector('.tiles') !== null")
    shown = browser.evaluate("spend.textContent")
    assert all(said in shown for said in ("$0.50", "$1.50", "75 % of the baseline", "small"))
    assert browser.evaluate("document.querySelectorAll('.days g').length") == 30


def test_models_teams_and_features_have_bars(http: Served, browser: Page) -> None:
    """Each row shows spent and saved on the scale of its table's largest row; its numbers stand there as text."""
    opened(browser, http)
    spent(http, CALM)
    browser.evaluate("location.hash = '#/spend'; true")
    browser.wait_for("document.querySelector('.tiles') !== null")
    tables = json.loads(browser.evaluate(BARS))
    assert list(tables) == ["By model", "By team", "By feature", "By user"]
    assert tables["By model"] == {
        "large": [["spent", 25], ["saved", 75], "20", "30", "$0.40", "$1.20"],
        "small": [["spent", 6], ["saved", 19], "20", "30", "$0.10", "$0.30"],
    }
    assert tables["By feature"] == {
        "chat": [["spent", 25], ["saved", 75], "20", "30", "$0.50", "$1.50"],
        "trial": [["spent", 5], "20", "30", "$0.10", "−$0.30"],
    }
    assert list(tables["By user"]) == ["others", "ann"]
    assert browser.evaluate("document.querySelectorAll('.split svg:not([aria-hidden=true])').length") == 0


# Of each table the rows by name: kind and share in percent of each part that is drawn, then the cells.
BARS = """JSON.stringify(Object.fromEntries([...document.querySelectorAll("#spend .scroll")].map((table) => [
    table.getAttribute("aria-label"),
    Object.fromEntries([...table.querySelectorAll("tbody tr")].map((row) => {
        const all = row.querySelector("svg").getBoundingClientRect().width;
        // A quarter of a percent of the width is the gap behind a part.
        const share = (part) => Math.round((100 * part.getBoundingClientRect().width) / all + 0.25);
        const parts = [...row.querySelectorAll("rect")].map((part) => [part.getAttribute("class"), share(part)]);
        const cells = [...row.querySelectorAll("td")].map((cell) => cell.textContent);
        return [row.querySelector("th").textContent, [...parts, ...cells]];
    })),
])))"""


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


def fill_chat(http: Served, browser: Page) -> None:
    """Show an answer with its citations."""
    opened(browser, http)
    browser.evaluate(ASK)
    browser.wait_for(ANSWERED)


def fill_source(http: Served, browser: Page) -> None:
    """Show the document of a citation over the answer."""
    fill_chat(http, browser)
    http.service.library.stored["acme", "default", "document-1"] = Document("document-1", TEXT, "Sky")
    browser.evaluate("document.querySelector('.mark').click(); true")
    browser.wait_for("document.getElementById('source').open && document.querySelector('#source-text mark') !== null")


def fill_key(http: Served, browser: Page) -> None:
    """Show the dialog for a key."""
    opened(browser, http)
    browser.evaluate("document.getElementById('key-button').click(); true")
    browser.wait_for("document.getElementById('key-dialog').open")


def fill_documents(http: Served, browser: Page) -> None:
    """Show open, restricted and quarantined documents, and an upload of which one file failed."""
    opened(browser, http)
    for document in (
        Document("sky", TEXT, "Sky"),
        Document("pay", TEXT, access=("group:hr",)),
        Document("bad", TEXT, quarantined=True),
    ):
        http.service.library.stored["acme", "default", document.id] = document
    browser.evaluate("location.hash = '#/documents'; true")
    choose(browser, cats_txt="Cats purr.", blank_txt=" ")
    browser.wait_for("document.querySelector('#uploads li')?.textContent.includes('1 failed')")
    browser.wait_for("document.querySelectorAll('#stored tbody tr').length === 4")


def fill_spend(http: Served, browser: Page) -> None:
    """Show a month with alarms, missed targets and every table, all of it unfolded."""
    opened(browser, http)
    spent(http, *[CALM] * 3, *[BUSY] * 3)
    browser.evaluate("location.hash = '#/spend'; true")
    browser.wait_for("document.querySelectorAll('#spend .alarms li').length > 3")
    browser.wait_for("document.querySelectorAll('#spend .split').length === 4")
    browser.evaluate("for (const part of document.querySelectorAll('#spend details')) part.open = true; true")


FILLS: tuple[Callable[[Served, Page], None], ...] = (fill_chat, fill_source, fill_key, fill_documents, fill_spend)


@pytest.mark.skipif(not AXE.is_file(), reason=f"there is no axe-core at {AXE.relative_to(ROOT)}")
@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: fill.__name__)
def test_axe_finds_nothing(http: Served, browser: Page, fill: Callable[[Served, Page], None]) -> None:
    """Every view and dialog with something in it, light and dark, passes axe's rules."""
    fill(http, browser)
    browser.call("Runtime.evaluate", expression=AXE.read_text(encoding="utf-8"))
    found: list[object] = []
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        found += json.loads(browser.evaluate(AXE_RUN))
    browser.call("Emulation.setEmulatedMedia", features=[])
    assert found == []


AXE_RUN = """axe.run().then((result) => JSON.stringify(result.violations
    .map((one) => [one.id, one.impact, one.nodes[0].html.slice(0, 120)])))"""


def test_keyboard_alone_asks_and_opens_a_source(http: Served, browser: Page) -> None:
    """Keys ask, reach a citation and open it; Escape closes its source and gives the focus back to it."""
    opened(browser, http)
    http.service.library.stored["acme", "default", "document-1"] = Document("document-1", TEXT, "Sky")
    browser.wait_for("document.activeElement.id === 'question'")
    for key in "Why is it blue?":
        browser.press(key)
    browser.press("Enter")
    browser.wait_for(ANSWERED)
    assert http.service.pipeline.asked[0].text == "Why is it blue?"
    browser.press_until("document.activeElement.matches('.mark.supported')", "Tab", modifiers=SHIFT)
    browser.press("Enter")
    browser.wait_for("document.getElementById('source').open")
    browser.press_until("document.activeElement.id === 'source-text'", "Tab")
    browser.press("Escape")
    browser.wait_for("!document.getElementById('source').open")
    assert browser.evaluate("document.activeElement.matches('.mark.supported')")


def test_keyboard_keeps_its_place_on_the_other_views(http: Served, browser: Page) -> None:
    """The skip link goes to the content of the view that is shown; another range or a deletion loses no focus."""
    fill_documents(http, browser)
    browser.press_until("document.activeElement.matches('.skip')", "Tab", modifiers=SHIFT)
    browser.press("Enter")
    browser.wait_for("document.activeElement.id === 'main'")
    assert not browser.evaluate("document.getElementById('documents').hidden")
    browser.evaluate("window.confirm = () => true; true")
    browser.press_until("document.activeElement.ariaLabel === 'Delete cats.txt'", "Tab")
    browser.press("Enter")
    browser.wait_for("document.querySelectorAll('#stored tbody tr').length === 3")
    browser.wait_for("document.activeElement.ariaLabel === 'Stored documents'")
    fill_spend(http, browser)
    browser.press_until("document.activeElement.id === 'days'", "Tab")
    browser.press("ArrowDown")
    browser.wait_for("document.querySelectorAll('.days g').length === 90")
    assert browser.evaluate("document.activeElement.id === 'days'")


def test_page_fits_a_phone(http: Served, browser: Page) -> None:
    """On a narrow screen nothing has to be scrolled sideways."""
    browser.call("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    for fill in FILLS:
        fill(http, browser)
        assert browser.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), fill.__name__
    browser.call("Emulation.clearDeviceMetricsOverride")
