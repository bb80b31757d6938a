"""Where the text of a collection may go: the labels of models and collections that bar one from the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragopt.domain import Question
from ragopt.providers.deployment import Deployment
from ragopt.settings.collections import CollectionSettings, collection_settings

# The provider that runs in this process: the text goes nowhere.
HERE = "extractive"


@dataclass(frozen=True, slots=True)
class Residency:
    """Which models may be sent what a collection holds: every one, where the collection has no `regions`."""

    collections: Sequence[CollectionSettings] = ()

    def regions(self, question: Question) -> tuple[str, ...]:
        """Return the regions that a question's collection may go to, () for every one."""
        return collection_settings(self.collections, tenant=question.tenant, collection=question.collection).regions

    def allows(self, deployment: Deployment, question: Question) -> bool:
        """Return whether a model may be sent a question and its passages: it has regions, and all are allowed."""
        allowed = self.regions(question)
        if not allowed or deployment.provider.name == HERE:
            return True
        return bool(deployment.regions) and set(deployment.regions) <= set(allowed)

    def allowed(self, deployments: Sequence[Deployment], question: Question) -> list[Deployment]:
        """Return the models that may be sent a question and its passages, in order."""
        return [item for item in deployments if self.allows(item, question)]

    def barred(self, question: Question) -> str:
        """Return why a model may not be called, in a sentence that names the settings."""
        regions = ", ".join(self.regions(question))
        return (
            f"the collection {question.collection!r} may only go to {regions} (`regions` in [[collections]]); "
            "no model that could be called has `regions` within that in [[models]]"
        )
