"""Questions before anything is done for them: those that attack the model or ask for harm are noted, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from indexes.records import EncodedQuestion
from ragopt.audit.events import Actor, AuditEvent, Text
from ragopt.domain import Question
from ragopt.errors import QuestionRefused
from ragopt.harmful.detector import HarmfulDetector
from ragopt.injection.detector import InjectionDetector
from ragopt.screening.heads import THRESHOLD
from ragopt.screening.judging import Encode, Once, Reading, read
from ragopt.settings.collections import CollectionSettings, collection_settings
from ragopt.telemetry import Trace

ATTACK = "The question looks like an attempt to change what the model was told; ask in other words."
HARMFUL = "The question looks like a request for harmful content ({}), which this collection does not answer."


@dataclass(frozen=True, slots=True)
class Detectors:
    """What is looked for in questions."""

    injection: InjectionDetector
    harmful: HarmfulDetector


@dataclass(frozen=True, slots=True)
class QuestionScreen:
    """Scores questions as the policy of their collection says; satisfies `ragopt.ports.ScreenQuestion`.

    encode: of the model that both detectors may read. refused: is told of each question that is refused; None where
    nobody is to be.
    """

    collections: Sequence[CollectionSettings]
    detectors: Detectors
    encode: Encode
    refused: Callable[[AuditEvent], None] | None = None

    async def __call__(self, question: Question, text: str, *, trace: Trace) -> EncodedQuestion | None:
        """Note the scores of the question in these words in the trace; return its vectors where they had to be made.

        Raises: `QuestionRefused` where a score is too high and the policy refuses.
        """
        policy = collection_settings(self.collections, tenant=question.tenant, collection=question.collection)
        if policy.questions == policy.harmful_questions == "off":
            return None
        readings, encode = read(text), Once(self.encode)
        if policy.questions != "off":
            score = await self._attack(readings, encode, trace)
            if score >= THRESHOLD and policy.questions == "refuse":
                raise self._refusal(question, ATTACK, "injection", trace=trace)
        if policy.harmful_questions != "off":
            category = await self._harm(readings, encode, policy=policy, trace=trace)
            if category and policy.harmful_questions == "refuse":
                raise self._refusal(question, HARMFUL.format(category), f"harmful: {category}", trace=trace)
        return encode.known.get(text)

    async def _attack(self, readings: Sequence[Reading], encode: Encode, trace: Trace) -> float:
        """Return how likely the question is an attack; note the highest score of its wordings."""
        found = await self.detectors.injection.judged(readings, encode)
        trace.note(injection=max(round(found.score, 4), known(trace, "injection")))
        return found.score

    async def _harm(
        self, readings: Sequence[Reading], encode: Encode, *, policy: CollectionSettings, trace: Trace
    ) -> str:
        """Return the category of harm that the question asks for, "" for none that is not allowed; note it."""
        harm = await self.detectors.harmful.judged(readings, encode)
        trace.note(harmful=max(round(harm.score, 4), known(trace, "harmful")))
        if harm.category is None or harm.category in policy.harmful_allowed:
            return ""
        trace.note(harmful_category=harm.category)
        return harm.category

    def _refusal(self, question: Question, said: str, reason: str, *, trace: Trace) -> QuestionRefused:
        """Return the error of a refused question; the trace and the audit are told."""
        trace.note(refused=reason)
        if self.refused is not None:
            actor = Actor(question.key_id, question.tenant, question.acting_for)
            text = Text(question.text)
            self.refused(AuditEvent("refuse", actor, trace.request_id, question.collection, text=text, reason=reason))
        return QuestionRefused(said)


def known(trace: Trace, fact: str) -> float:
    """Return a score that the trace has, 0 for none."""
    value = trace.facts.get(fact)
    return value if isinstance(value, float) else 0.0
