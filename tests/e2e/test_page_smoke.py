"""The web page in front of the real service: real ingest, real answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.browser import CHROMIUM, browser_page
from tests.e2e.service import running

TEXT = "Naïve 🚂 rules.\n\nTrains are booked in second class. A hotel may cost 140 euros a night.\n\nCats purr.\n"
QUESTION = "What may a hotel cost a night?"
SAYS = "A hotel may cost 140 euros a night"


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on PATH")
def test_page_answers_from_a_document_and_shows_its_source(module_dir: Path) -> None:
    """With the key of the fragment, a question is answered; its citation opens the document at the quoted words."""
    with running(module_dir / "data") as service, browser_page(module_dir / "profile") as page:
        with service.client() as client:
            document = {"id": "travel/rules", "title": "Travel", "text": TEXT}
            client.post("/ingest", json={"documents": [document]}).raise_for_status()
        page.open(f"{service.url}/#key={service.key}")
        page.wait_for("document.querySelector('.welcome') !== null")
        page.evaluate(f"question.value = {json.dumps(QUESTION)}; form.requestSubmit(); true")
        page.wait_for("document.querySelector('.answer[aria-busy=false] .mark') !== null")
        assert SAYS in page.evaluate("document.querySelector('.answer').textContent")
        page.evaluate("document.querySelector('.mark').click(); true")
        page.wait_for("document.getElementById('source').open")
        assert SAYS in page.evaluate("document.querySelector('#source-text mark').textContent")
        assert page.evaluate("document.getElementById('source-text').textContent") == TEXT
        assert page.evaluate("document.getElementById('source-title').textContent") == "Travel"
