"""One question against one fault with a healthy model behind it, and what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, TypeAlias

from eval.stub.faults import ENDLESS, FAULTS
from eval.stub.replying import FOREIGN, HUGE_BYTES, REFUSAL
from ragopt.domain import Context, Passage, Question
from ragopt.errors import BudgetSpent, ProviderError
from ragopt.prompt import build_prompt
from ragopt.providers.call import ModelCaller
from ragopt.providers.capabilities import Capabilities
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.protocol import Provider, TextDelta
from ragopt.results import Generated, History, Prepared
from ragopt.stages.generate import GenerateWithFallback
from ragopt.telemetry import Trace

Dialect: TypeAlias = Literal["openai", "anthropic"]
Verdict: TypeAlias = Literal["complete", "partial", "typed_error", "truncated", "damaged", "untyped_error", "late"]

DIALECTS: tuple[Dialect, Dialect] = ("openai", "anthropic")
TEXT = "Cats sleep sixteen hours a day. They purr as well."
ANSWER = "Cats sleep sixteen hours a day [1]."
# No word of it is in the other answer, so that a splice shows.
SPARE_ANSWER = "A healthy model answers instead [1]."
ENDLESS_TIMEOUT_S, TIMEOUT_S = 1.0, 10.0
MAX_OUTPUT_TOKENS = 100
# What a request may take beyond its deadline: closing connections, and a machine that is busy.
GRACE_S = 1.5


@dataclass(frozen=True, slots=True)
class Case:
    """One fault, in one dialect, streaming or not."""

    fault: str
    dialect: Dialect
    streaming: bool

    @property
    def name(self) -> str:
        """Return the name of its deployment."""
        return f"{self.fault}/{self.dialect}/{'stream' if self.streaming else 'whole'}"

    @property
    def whole_text(self) -> str:
        """Return what the stub would say if nothing cut it off."""
        if self.fault == "huge_chunk":
            return ANSWER + " huge" * (HUGE_BYTES // len(" huge"))
        return {"split_utf8": ANSWER + FOREIGN, "refusal": REFUSAL}.get(self.fault, ANSWER)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one question came to. generated: None if it failed; problem: what must not happen, in a sentence."""

    case: Case
    verdict: Verdict
    generated: Generated | None
    problem: str = ""

    @property
    def fell_back(self) -> bool:
        """Return whether the healthy model answered."""
        return self.generated is not None and self.generated.route.model.startswith("spare/")

    @property
    def first_asked(self) -> bool:
        """Return whether the first planned model was asked: its breaker or a Retry-After may have stood against it."""
        return self.generated is None or self.generated.route.attempts[0].outcome != "rejected"

    @property
    def retries(self) -> int:
        """Return how many calls of a model were not its first for this question."""
        attempts = self.generated.route.attempts if self.generated else ()
        asked = [attempt.model for attempt in attempts if attempt.outcome != "rejected"]
        return len(asked) - len(set(asked))


def every_case() -> Iterator[Case]:
    """Yield every fault in both dialects, streaming and not."""
    for fault, dialect, streaming in product(FAULTS, DIALECTS, (True, False)):
        yield Case(fault, dialect, streaming)


def prepared() -> Prepared:
    """Return the question that is asked, ready for a model."""
    passage = Passage(
        n=1,
        document_id="cats",
        version=1,
        chunk_id="cats/0",
        title="Cats",
        spans=((0, len(TEXT)),),
        text=TEXT,
        tokens=11,
        score=1.0,
        units=((0, 31), (32, len(TEXT))),
    )
    question = "How long do cats sleep?"
    context = Context(question, question, 100, 11, (passage,), 1, "exhausted")
    return Prepared(Question(question, "campaign"), context, build_prompt(context, History()))


def broken(case: Case, provider: Provider) -> Deployment:
    """Return the deployment that fails as the case says."""
    timeout_s = ENDLESS_TIMEOUT_S if case.fault in ENDLESS else TIMEOUT_S
    takes = Capabilities(streaming=case.streaming)
    return Deployment(case.name, provider, f"stub-{case.fault}", "simple", timeout_s, capabilities=takes)


def spare(case: Case, provider: Provider) -> Deployment:
    """Return the healthy deployment behind it."""
    takes = Capabilities(streaming=case.streaming)
    return Deployment(f"spare/{provider.name}", provider, "stub-ok", "simple", TIMEOUT_S, capabilities=takes)


async def asked(case: Case, chain: tuple[Deployment, ...], *, caller: ModelCaller, deadline_s: float) -> Outcome:
    """Return what one question over the deployments came to. deadline_s: seconds it may take."""
    stage = GenerateWithFallback(
        lambda _: Plan(chain, "a campaign"), caller=caller, max_output_tokens=MAX_OUTPUT_TOKENS
    )
    trace = Trace(case.name, ends=asyncio.get_running_loop().time() + deadline_s)
    last: Generated | None = None
    began_s, text = time.perf_counter(), ""
    try:
        async for event in stage(prepared(), trace=trace):
            if isinstance(event, TextDelta):
                text += event.text
            elif isinstance(event, Generated):
                last = event
    except (ProviderError, BudgetSpent):
        pass
    except Exception as error:  # noqa: BLE001 - what it is looking for
        return Outcome(case, "untyped_error", None, f"{case.name}: {type(error).__name__}: {error}")
    took_s = time.perf_counter() - began_s
    if took_s > deadline_s + GRACE_S:
        return Outcome(case, "late", last, f"{case.name}: took {took_s:.1f} s of {deadline_s:g} s")
    return Outcome(case, "typed_error", None) if last is None else judged(case, text, last)


def judged(case: Case, text: str, generated: Generated) -> Outcome:
    """Return the outcome of an answer: whole, marked as partial, cut off and unmarked, or not one model's words."""
    whole = SPARE_ANSWER if generated.route.model.startswith("spare/") else case.whole_text
    endless = case.fault == "drip" and text.startswith(whole)
    if not (whole.startswith(text) or endless):
        return Outcome(
            case, "damaged", generated, f"{case.name}: {text[:80]!r} is not what {generated.route.model} said"
        )
    if generated.partial:
        return Outcome(case, "partial", generated)
    if text != whole:
        return Outcome(case, "truncated", generated, f"{case.name}: {text[:80]!r} was served as the whole answer")
    return Outcome(case, "complete", generated)
