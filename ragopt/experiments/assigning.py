"""Which variant a question gets: by a stable hash, so that the same unit always gets the same one. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from ragopt.domain import Question
from ragopt.form import in_paragraphs
from ragopt.settings.examples import shown
from ragopt.settings.experiments import ExperimentSettings, VariantSettings

HASH_BITS = 64


@dataclass(frozen=True, slots=True)
class Assignment:
    """A variant that a question is answered with. stopped: it was assigned another one, which a guard has ended."""

    experiment: ExperimentSettings
    variant: VariantSettings
    stopped: bool = False

    @property
    def name(self) -> str:
        """Return `experiment/variant`, as answers and reports call it."""
        return f"{self.experiment.name}/{self.variant.name}"


def assigned(
    question: Question,
    experiments: Sequence[ExperimentSettings],
    *,
    conversation_id: str | None,
    stopped: Collection[str],
) -> Assignment | None:
    """Return the variant of the first experiment that is for this question, None where none is.

    stopped: names `experiment/variant` that a guard has ended; their traffic goes to the control.
    """
    for experiment in experiments:
        if experiment.tenant in ("*", question.tenant) and experiment.collection in ("*", question.collection):
            found = Assignment(experiment, chosen(experiment, unit_of(question, experiment, conversation_id)))
            control = Assignment(experiment, experiment.variants[0], stopped=True)
            return control if found.name in stopped else found
    return None


def unit_of(question: Question, experiment: ExperimentSettings, conversation_id: str | None) -> str:
    """Return what keeps its variant: conversation, user, or the one answer where the request names neither."""
    named = {"conversation": conversation_id, "user": question.labels.get("user"), "request": None}[experiment.unit]
    return f"{question.tenant}\n{experiment.unit}\n{named}" if named else f"{question.tenant}\n{question.answer_id}"


def chosen(experiment: ExperimentSettings, unit: str) -> VariantSettings:
    """Return the variant of a unit: shares of the hash's range, in the order of the file."""
    digest = hashlib.sha256(f"{experiment.name}\n{unit}".encode("utf-8", "surrogatepass")).digest()
    point = int.from_bytes(digest[: HASH_BITS // 8], "big") / 2**HASH_BITS
    whole = sum(variant.share for variant in experiment.variants)
    for variant in experiment.variants:
        point -= variant.share / whole
        if point < 0:
            return variant
    return experiment.variants[-1]


def applied(question: Question, assignment: Assignment | None) -> Question:
    """Return the question under its variant; a model that the request names stays."""
    if assignment is None:
        return question
    variant = assignment.variant
    return replace(
        question,
        knobs=replace(question.knobs, **variant.knobs()),  # type: ignore[arg-type]
        model=variant.model if variant.model and question.model == "auto" else question.model,
        instructions=in_paragraphs(question.instructions, variant.instructions),
        examples=question.examples if variant.examples is None else shown(variant.examples),
        variant=assignment.name,
    )
