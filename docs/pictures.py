"""Take the pictures of the web page in docs/pictures: `python -m docs.pictures`, with Chromium on PATH.

A real service answers about this documentation. Its models are the provider stub, which is told what to say, so
citations, tokens and times are real. The month of spend is made up: its tokens, not its prices and not its arithmetic.
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
from dataclasses import dataclass, replace
from pathlib import Path

from eval.stub import Step, StubServer, serve_in_thread
from ragopt.config import load_settings
from ragopt.domain import Tier, Usage
from ragopt.money.ledger import AnswerRow, LedgerRow, Payer
from ragopt.money.prices import Priced, Prices
from ragopt.money.savings import Compared, savings_of
from ragopt.wiring.books import opened_books
from tests.e2e.browser import Page, browser_page
from tests.e2e.service import Running, running

FOLDER = Path(__file__).parent / "pictures"
DESK, TALL, PHONE = (1280, 800, 1.0), (1280, 960, 1.0), (390, 800, 1.5)
MOST_BYTES = 200_000
# For each question: what the model is to say, and the words of the passage that each sentence cites.
ANSWERS = {
    "What happens when Redis is down?": (
        (
            "While Redis is down, uncached answers go on, and requests with a `conversation_id` are refused",
            "uncached answers go on",
        ),
        ("A request waits for the cache at most 50 ms in all", "at most 50 ms in all"),
        ("A copy of the keys is used meanwhile, so questions go on being answered", "that copy is used as it is"),
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
cost_per_answer_usd = 0.001
latency_p95_ms = 1500
supported_share = 0.95
saved_share = 0.8
"""
MODELS = {"small": Priced("openai", "gpt-4o-mini"), "large": Priced("openai", "gpt-4o")}
HARD: tuple[str, Tier] = ("large", "complex")
EASY: tuple[str, Tier] = ("small", "simple")
DAYS, A_DAY = 30, 40
# How many days ago half of the questions were hard, so that there is an alarm to see.
HARD_DAY = 4
# The share of answers that come from the cache.
CACHED = 0.08
# Who asked, and for what; what stands there twice is twice as frequent.
TEAMS = ("support", "support", "sales")
FEATURES = ("chat", "chat", "chat", "search", "search", "reports")


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
    """Write a month of answers into the ledger: more on weekdays, more of them by the small model every week."""
    rng = random.Random(1)  # noqa: S311 - a picture
    prices = Prices()
    async with opened_books(load_settings(data_dir=data_dir)) as books:
        for back in range(DAYS):
            at = time.time() - back * 86_400
            busy = 0.4 if time.gmtime(at).tm_wday > 4 and back != HARD_DAY else 1.0
            hard = 0.5 if back == HARD_DAY else 0.06 + 0.004 * back
            for n in range(round(A_DAY * busy * rng.uniform(0.8, 1.2))):
                call, answer = made_up(Asked(f"{back}-{n}", at, is_hard=rng.random() < hard), rng, prices)
                if call is not None:
                    books.ledger.append(call)
                books.ledger.answered(answer)
            await books.outbox.flush(within_s=30)


@dataclass(frozen=True)
class Asked:
    """A question of the made-up month. at: Unix seconds."""

    name: str
    at: float
    is_hard: bool


def made_up(asked: Asked, rng: random.Random, prices: Prices) -> tuple[LedgerRow | None, AnswerRow]:
    """Return an answer and the call that made it, None for one from the cache: made-up tokens at real prices."""
    model, tier = HARD if asked.is_hard else EASY
    ours = MODELS[model]
    labels = {"team": rng.choice(TEAMS), "feature": rng.choice(FEATURES)}
    payer = Payer("default", "k", labels, "default")
    batch = labels["feature"] == "reports"
    context, history, spoken = rng.randrange(600, 1_000), rng.choice((0, 0, 120, 200)), rng.randrange(60, 180)
    sent = 180 + context + history
    tokens = Usage(input_tokens=sent, output_tokens=spoken)
    usage = replace(tokens, cost_usd=prices.cost(ours, tokens, batch=batch))
    compared = Compared(
        baseline=MODELS["large"], ours=ours, baseline_context=rng.randrange(3_400, 4_000), context=context,
        whole_history=3 * history, history=history, sent=sent, usage=usage, spent_usd=usage.cost_usd, batch=batch,
    )  # fmt: skip
    saved = savings_of(compared, prices)
    answer = AnswerRow(
        asked.name, asked.at, payer, model, saved, claims=2, supported=1 + (rng.random() < 0.86),
        latency_ms=None if batch else math.exp(rng.gauss(6.5, 0.4)),
    )  # fmt: skip
    if saved is not None and not batch and rng.random() < CACHED:
        return None, replace(answer, savings=saved.of_hit())
    call = LedgerRow(
        id=asked.name, answer_id=asked.name, at=asked.at, payer=payer, deployment=model, provider=ours.provider,
        model=ours.model, tier=tier, usage=usage, price_version=prices.version(ours), batch=batch, outcome="ok",
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
    shape(page, TALL, "light")
    page.evaluate("location.hash = '#/spend'; true")
    page.wait_for("document.querySelector('.tiles') !== null")
    picture(page, "spend")
    shape(page, DESK, "light")
    page.evaluate("document.querySelector('#spend .bars').closest('section').scrollIntoView(); scrollBy(0, -24); true")
    picture(page, "spend-by")


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
