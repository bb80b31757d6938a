"""The way to the model provider slowed, paused, refused and cut in the middle of answers."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from types import MappingProxyType

import httpx

from eval.bench.service import RunningService, running_service
from eval.campaign.experiment import Size
from eval.campaign.inspecting import client_of
from eval.campaign.journal import Faults
from eval.campaign.proxy import FAIR, HOST, Proxy, Weather, proxied
from eval.campaign.traffic import events_in
from eval.intervals import exact
from eval.report import Report, Segment
from eval.stub import StubOptions, StubServer, serve_in_thread

ROUNDS = 6
AT_ONCE = 6
TIMEOUT_S, DEADLINE_S, GRACE_S = 1.0, 8.0, 2.0
# Long enough to be cut in the middle; every sentence is supported by the document, so that all of them are released.
FACTS = (
    "Cats sleep sixteen hours a day.",
    "Cats purr when they rest.",
    "Cats wash their fur every day.",
    "Cats see well in the dark.",
)
TEXT = " ".join(FACTS)
SPARE_TEXT = "Cats see well in the dark."
WEATHERS: Mapping[str, Weather] = MappingProxyType(
    {
        "slow": Weather(delay_s=0.05),
        "paused": Weather(paused=True),
        "refused": Weather(refused=True),
        "cut at once": Weather(cut_after=1),
        "cut in the head": Weather(cut_after=120),
        "cut in the answer": Weather(cut_after=700),
        "cut later": Weather(cut_after=4_000),
        "trickle": Weather(bytes_per_s=300, piece_bytes=32),
    }
)
DIALECTS = ("openai", "anthropic")
FAULTS = ("truncated", "damaged", "untyped", "refused", "late", "torn")


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: which model it names, whether a healthy one stands behind it, streamed or not."""

    model: str
    spare: bool
    streaming: bool


@dataclass(frozen=True, slots=True)
class Got:
    """What came back. text: what was said, streamed pieces joined; problem: the code of an error, "" for none."""

    text: str
    partial: bool
    problem: str = ""


@dataclass(slots=True)
class Tally:
    """What one run came to."""

    faults: Faults = field(default_factory=Faults)
    outcomes: Counter[str] = field(default_factory=Counter)
    took_s: dict[str, list[float]] = field(default_factory=dict)


def provider_network(size: Size, *, weathers: Mapping[str, Weather] = WEATHERS) -> Report:
    """Return what became of questions in each weather. Raises: `BenchError` if the service does not come up."""
    rounds, tally = size.of(ROUNDS), Tally()
    answer = " ".join(f"{fact} [1]" for fact in FACTS)
    with (
        tempfile.TemporaryDirectory(prefix="ragopt-provider-") as scratch,
        serve_in_thread(StubOptions(answer=answer, tokens_per_s=400)) as stub,
        serve_in_thread(StubOptions(answer=f"{SPARE_TEXT} [1]")) as healthy,
        proxied((HOST, stub.port)) as proxy,
        served(Path(scratch), proxy, healthy) as service,
    ):
        with client_of(service) as client:
            client.post("/ingest", json={"documents": [{"id": "cats", "text": TEXT}]}).raise_for_status()
        draw = random.Random(size.seed)  # noqa: S311
        for name in list(weathers) * rounds:
            proxy.weather = weathers[name]
            one_weather(tally, service, name, draw)
            proxy.weather = FAIR
    return reported(tally, rounds * len(weathers), seed=size.seed)


def reported(tally: Tally, rounds: int, *, seed: int) -> Report:
    """Return the report of a run."""
    counts = {"outages": rounds, "questions": tally.outcomes.total()}
    counts |= {kind: tally.outcomes[kind] for kind in ("whole", "spare", "marked_partial", "typed_error")}
    counts |= {kind: tally.faults.counts[kind] for kind in FAULTS}
    metrics = {name: exact(value) for name, value in counts.items()}
    slowest = {name: max(values) for name, values in tally.took_s.items()}
    metrics["slowest_s"] = exact(round(max(slowest.values()), 2))
    segments = {
        name: Segment(len(tally.took_s[name]), {"slowest_s": exact(round(value, 2))}) for name, value in slowest.items()
    }
    config = {"timeout_s": TIMEOUT_S, "deadline_s": DEADLINE_S}
    failures = tuple(tally.faults.examples)
    return Report(
        "provider", "stub", tally.outcomes.total(), seed, config, metrics, segments=segments, failures=failures
    )


@contextmanager
def served(folder: Path, proxy: Proxy, healthy: StubServer) -> Iterator[RunningService]:
    """Yield the service: models of both dialects behind the proxy, below a healthy one and above it."""
    urls = {"openai": f"http://127.0.0.1:{proxy.port}/v1", "anthropic": f"http://127.0.0.1:{proxy.port}"}
    names = {"openai": "gpt-4o-mini", "anthropic": "claude-haiku-4-5"}
    models = [
        {"name": f"{tier}-{dialect}", "provider": dialect, "model": names[dialect], "base_url": urls[dialect]}
        | {"tier": tier, "timeout_s": TIMEOUT_S}
        for tier, dialect in product(("simple", "complex"), DIALECTS)
    ]
    spare = {"name": "spare", "provider": "openai", "model": "gpt-4o", "base_url": healthy.openai_url, "tier": "medium"}
    settings = {
        "RAGOPT_MODELS": json.dumps([*models, spare]),
        "RAGOPT_REQUEST_TIMEOUT_S": str(DEADLINE_S),
        "OPENAI_API_KEY": "sk-evaluation",
        "ANTHROPIC_API_KEY": "sk-evaluation",
    }
    with running_service(folder, data_dir=folder / "data", settings=settings) as service:
        yield service


def one_weather(tally: Tally, service: RunningService, weather: str, draw: random.Random) -> None:
    """Ask every kind of question once, several at a time."""
    asked = [
        Asked(f"{tier}-{dialect}", tier == "simple", streaming)
        for tier, dialect, streaming in product(("simple", "complex"), DIALECTS, (True, False))
    ]
    draw.shuffle(asked)
    with client_of(service) as client, ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(lambda one: put(tally, client, weather, one), asked))


def put(tally: Tally, client: httpx.Client, weather: str, asked: Asked) -> None:
    """Ask one question and judge what comes back."""
    what = f"{weather}, {asked.model}, {'streamed' if asked.streaming else 'whole'}"
    body = {"question": "How long do cats sleep?", "cache": "off", "model": asked.model}
    started = time.perf_counter()
    try:
        got = (streamed if asked.streaming else whole)(tally.faults, client, body, what)
    except httpx.TransportError as error:
        tally.faults.note("torn", f"{what}: {type(error).__name__}: {error}")
        return
    took_s = time.perf_counter() - started
    tally.took_s.setdefault(weather, []).append(took_s)
    if took_s > DEADLINE_S + GRACE_S:
        tally.faults.note("late", f"{what}: {took_s:.1f} s of {DEADLINE_S:g} s")
    if got is not None:
        tally.outcomes[judged(tally.faults, asked, got, what)] += 1


def whole(faults: Faults, client: httpx.Client, body: Mapping[str, object], what: str) -> Got | None:
    """Return an answer that is not streamed, None for one that has no known shape."""
    answer = client.post("/answer", json=body)
    if answer.status_code == httpx.codes.OK:
        found = answer.json()
        return Got(found["answer"], found["partial"])
    return Got("", partial=False, problem=code_of(faults, answer, what))


def streamed(faults: Faults, client: httpx.Client, body: Mapping[str, object], what: str) -> Got | None:
    """Return an answer that is streamed, None for one that ends in neither `done` nor `error`."""
    with client.stream("POST", "/answer", json={**body, "stream": True}) as response:
        if response.status_code != httpx.codes.OK:
            response.read()
            return Got("", partial=False, problem=code_of(faults, response, what))
        events = list(events_in(response.iter_lines()))
    text = "".join(fields["text"] for name, fields in events if name == "delta")
    name, last = events[-1] if events else ("nothing", {})
    if name == "error":
        return Got(text, partial=True, problem=str(last.get("code", "")))
    if name != "done" or last["answer"] != text:
        faults.note("torn", f"{what}: ended with {name}, {text!r} was streamed")
        return None
    return Got(text, last["partial"])


def code_of(faults: Faults, answer: httpx.Response, what: str) -> str:
    """Return the code of a problem; counts an error that is none."""
    try:
        code = str(answer.json()["code"])
    except (ValueError, KeyError, TypeError):
        faults.note("untyped", f"{what}: {answer.status_code} {answer.text[:200]}")
        return "untyped"
    if code == "internal_error":
        faults.note("untyped", f"{what}: {answer.text[:200]}")
    return code


def judged(faults: Faults, asked: Asked, got: Got, what: str) -> str:
    """Return what came of a question; counts what must not."""
    said = [sentence for sentence in sentences(got.text) if sentence]
    if got.problem:
        if asked.spare and not said:
            faults.note("refused", f"{what}: {got.problem}, with a healthy model behind it")
        return "typed_error"
    if said == [SPARE_TEXT] and asked.spare:
        return "spare"
    if said != list(FACTS[: len(said)]):
        faults.note("damaged", f"{what}: {got.text!r}")
    elif len(said) < len(FACTS) and not got.partial:
        faults.note("truncated", f"{what}: {got.text!r} was served as the whole answer")
    return "marked_partial" if got.partial else "whole"


def sentences(text: str) -> Sequence[str]:
    """Return the sentences of an answer without their citation marks."""
    return [part.strip() + "." for part in text.replace(" [1]", "").replace("[1]", "").split(".") if part.strip()]
