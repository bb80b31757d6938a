"""Take the pictures of the web page in docs/pictures: `python -m docs.pictures`, with Chromium on PATH.

A real service answers about this documentation. Its models are the provider stub, which is told what to say, so
citations, tokens and times are real; the month of spend is made up.
"""

from __future__ import annotations

import asyncio
import base64
import json
import math
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

from eval.stub import Step, StubServer, serve_in_thread
from ragopt.config import load_settings
from ragopt.domain import TECHNIQUES, Savings, Tier, Usage
from ragopt.money.ledger import AnswerRow, LedgerRow, Payer
from ragopt.wiring.books import opened_books
from tests.e2e.browser import Page, browser_page
from tests.e2e.service import Running, running

FOLDER = Path(__file__).parent / "pictures"
DESK, PHONE = (1280, 800, 1.0), (390, 800, 1.5)
MOST_BYTES = 200_000
# For each question: what the model is to say, and the words of the passage that each sentence cites.
ANSWERS = {
    "What happens when Redis is down?": (
        (
            "While Redis is down, uncached answers go on, and requests with a `conversation_id` are refused",
            "uncached answers go on",
        ),
        ("While Redis does not answer, nothing is spent under a hard budget", "nothing is spent under a hard budget"),
        ("The service keeps a copy of the keys in its memory, at most 5 seconds old", "at most 5 seconds old"),
    ),
    "And what of a question when a budget is spent?": (
        ("`cheaper_tier` leaves cheaper models that fit, and at last the extractive answer", "cheaper models that fit"),
        ("`cached_only` leaves answers of the response cache", "answers of the response cache; else 402"),
        ("Of several spent budgets the strictest decides", "the strictest decides"),
    ),
}
SETTINGS = """
[[models]]
name = "small"
provider = "openai"
model = "gpt-4o-mini"
base_url = "{url}"
tier = "simple"

[[models]]
name = "large"
provider = "openai"
model = "gpt-4o"
base_url = "{url}"
tier = "complex"

[targets]
cost_per_answer_usd = 0.0004
latency_p95_ms = 1500
supported_share = 0.95
saved_share = 0.8
"""
DAYS, A_DAY = 30, 40
# What an answer of the made-up month saved, as shares of what the baseline would have cost.
SAVED = {"context": "0.62", "history": "0.05", "routing": "0.16", "response_cache": "0.06", "prompt_cache": "0.02"}


def main() -> None:
    """Take every picture."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as made, serve_in_thread() as stub:
        folder = Path(made)
        (folder / "ragopt.toml").write_text(SETTINGS.format(url=stub.openai_url), encoding="utf-8")
        asyncio.run(spend(folder / "data"))
        pages = str(Path(__file__).parent)
        with running(folder / "data", "--dev", "--sample", pages) as service, browser_page(folder / "profile") as page:
            plan(service, stub)
            take(page, service)


async def spend(data_dir: Path) -> None:
    """Write a month of answers into the ledger: more on weekdays, a little cheaper every week."""
    rng = random.Random(1)  # noqa: S311 - a picture
    async with opened_books(load_settings(data_dir=data_dir)) as books:
        for back in range(DAYS):
            at = time.time() - back * 86_400
            busy = 0.4 if time.gmtime(at).tm_wday > 4 else 1.0
            for n in range(round(A_DAY * busy * rng.uniform(0.8, 1.2))):
                call, answer = made_up(f"{back}-{n}", at, rng)
                books.ledger.append(call)
                books.ledger.answered(answer)
            await books.outbox.flush(within_s=30)


def made_up(name: str, at: float, rng: random.Random) -> tuple[LedgerRow, AnswerRow]:
    """Return a call and the answer it made."""
    strong = rng.random() < 0.12
    model, tier = ("large", cast("Tier", "complex")) if strong else ("small", cast("Tier", "simple"))
    cost = Decimal(rng.randrange(1_500, 2_900) if strong else rng.randrange(110, 240)) / 1_000_000
    payer = Payer("default", "k", {"team": rng.choice(("support", "support", "sales")), "feature": "chat"}, "default")
    usage = Usage(input_tokens=900, output_tokens=120, cost_usd=cost)
    call = LedgerRow(
        id=name, answer_id=name, at=at, payer=payer, deployment=model, provider="openai", model=model, tier=tier,
        usage=usage, price_version="", batch=False, outcome="ok", streamed=True,
    )  # fmt: skip
    baseline = Decimal("0.0112")
    parts = {technique: baseline * Decimal(SAVED.get(technique, "0")) for technique in TECHNIQUES}
    latency_ms = math.exp(rng.gauss(6.5, 0.45))
    answer = AnswerRow(
        name, at, payer, model, Savings(baseline, parts), claims=2, supported=1 + (rng.random() < 0.86),
        latency_ms=latency_ms,
    )  # fmt: skip
    return call, answer


def plan(service: Running, stub: StubServer) -> None:
    """Tell the stub what to answer, each sentence with the number of the passage that the service found for it."""
    history: list[dict[str, str]] = []
    with service.client() as client:
        for question, sentences in ANSWERS.items():
            found = client.post("/context", json={"question": question, "history": history}).json()["passages"]
            numbers = {words: number_of(words, found) for _, words in sentences}
            said = " ".join(f"{sentence} [{numbers[words]}]." for sentence, words in sentences if numbers[words])
            stub.plan(Step("ok", answer=said, delay_ms=180))
            history += [{"role": "user", "content": question}, {"role": "assistant", "content": said}]


def number_of(words: str, passages: Sequence[Mapping[str, object]]) -> object:
    """Return the number of the passage that holds these words, None where none does."""
    return next((item["n"] for item in passages if words in " ".join(str(item["text"]).split())), None)


def take(page: Page, service: Running) -> None:
    """Ask, look around, and take the pictures."""
    shape(page, DESK, "light")
    page.open(f"{service.url}/#key={service.key}")
    page.wait_for("document.querySelector('.welcome') !== null")
    for n, question in enumerate(ANSWERS, start=1):
        page.evaluate(f"question.value = {json.dumps(question)}; form.requestSubmit(); true")
        page.wait_for(f"document.querySelectorAll('.answer[aria-busy=false] .mark').length >= {n}")
        page.wait_for("document.querySelectorAll('.answer[aria-busy=true]').length === 0")
    picture(page, "chat")
    shape(page, DESK, "dark")
    picture(page, "chat-dark")
    shape(page, PHONE, "light")
    picture(page, "phone")
    shape(page, DESK, "light")
    page.evaluate("document.querySelector('.mark').click(); true")
    page.wait_for("document.getElementById('source').open && document.querySelector('#source-text mark') !== null")
    picture(page, "source")
    page.evaluate("document.getElementById('source').close(); location.hash = '#/documents'; true")
    page.wait_for("document.querySelectorAll('#stored tr').length > 3")
    picture(page, "documents")
    page.evaluate("location.hash = '#/spend'; true")
    page.wait_for("document.querySelector('.tiles') !== null")
    picture(page, "spend")


def shape(page: Page, size: tuple[int, int, float], scheme: str) -> None:
    """Give the tab a size in CSS pixels, a density, and a colour scheme."""
    width, height, density = size
    page.call(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=density, mobile=width < 600
    )
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


def picture(page: Page, name: str) -> None:
    """Write what the tab shows. Raises: `ValueError` for a file that is too large for a repository."""
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))")
    data = base64.b64decode(page.call("Page.captureScreenshot", format="png")["data"])
    if len(data) > MOST_BYTES:
        raise ValueError(f"{name}.png has {len(data)} bytes, more than {MOST_BYTES}")
    (FOLDER / f"{name}.png").write_bytes(data)


if __name__ == "__main__":
    main()
