"""Questions before anything is done for them: what tries to take over the model is noted, or refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ragopt.audit.events import Actor, AuditEvent, Text
from ragopt.domain import Question
from ragopt.errors import QuestionRefused
from ragopt.injection.detector import InjectionDetector
from ragopt.injection.model import THRESHOLD
from ragopt.settings.collections import CollectionSettings, collection_settings
from ragopt.telemetry import Trace


@dataclass(frozen=True, slots=True)
class QuestionScreen:
    """Scores questions as the policy of their collection says; satisfies `ragopt.ports.ScreenQuestion`.

    refused: is told of each question that is refused; None where nobody is to be.
    """

    collections: Sequence[CollectionSettings]
    detector: InjectionDetector
    refused: Callable[[AuditEvent], None] | None = None

    async def __call__(self, question: Question, *, trace: Trace) -> None:
        """Note the score in the trace. Raises: `QuestionRefused` where it is too high and the policy refuses."""
        policy = collection_settings(self.collections, tenant=question.tenant, collection=question.collection)
        if policy.questions == "off":
            return
        finding = await self.detector.question(question.text)
        trace.note(injection=round(finding.score, 4))
        if finding.score < THRESHOLD or policy.questions == "flag":
            return
        if self.refused is not None:
            actor = Actor(question.key_id, question.tenant)
            text = Text(question.text)
            self.refused(AuditEvent("refuse", actor, trace.request_id, question.collection, text=text))
        raise QuestionRefused(
            "The question looks like an attempt to change what the model was told; ask in other words."
        )
