"""Which configured models to try, in which order, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ragopt.domain import TIER_RANK, Question, Tier
from ragopt.errors import ModelBarred, ModelNotAllowed, UnknownModel
from ragopt.providers.deployment import Deployment, Gate, Plan
from ragopt.providers.residency import Residency
from ragopt.results import Prepared
from ragopt.settings.routing import RouteSettings, RoutingSettings
from ragopt.stages.route.difficulty import Difficulty
from ragopt.stages.route.rules import described, first_match

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class RoutePlanner:
    """Plans over what is configured; satisfies `ragopt.providers.deployment.Planner`.

    deployments: in the order of ragopt.toml; if there are none, `builtin` is the only model. embedder: the tag of the
    embedding model; vectors of another model than the scorer's are not scored. residency: which models may read which
    collection.
    """

    deployments: Sequence[Deployment]
    builtin: Deployment
    settings: RoutingSettings
    rules: Sequence[RouteSettings]
    difficulty: Difficulty
    gate: Gate
    embedder: str = ""
    residency: Residency = field(default_factory=Residency)

    def __call__(self, prepared: Prepared) -> Plan:
        """Return the plan of a question, of models alone that may be sent what its collection holds.

        Raises: `UnknownModel`, `ModelNotAllowed`, `ModelBarred`.
        """
        question = prepared.question
        if not self.deployments:
            return self._builtin_plan(question)
        allowed = self.residency.allowed(self.deployments, question)
        barred = {item.name for item in self.deployments} - {item.name for item in allowed}
        if not allowed or question.model in barred:
            raise ModelBarred(self.residency.barred(question))
        return replace(self, deployments=allowed).planned(prepared)

    def planned(self, prepared: Prepared) -> Plan:
        """Return the plan of a question over all models. Raises: `UnknownModel`, `ModelNotAllowed`."""
        question = prepared.question
        score = self.score(prepared)
        if question.model != AUTO:
            return Plan(self._from_model(question.model, question), f"the request names {question.model}", score)
        if found := first_match(self.rules, question, score=score):
            number, rule = found
            return self._ruled(rule, question, why=f"{described(number, rule)}; difficulty {score:.2f}", score=score)
        tier = self.tier_of(score)
        return self._from_tier(tier, question, why=f"difficulty {score:.2f}: {tier}", score=score)

    def score(self, prepared: Prepared) -> float:
        """Return the difficulty of the question with its context."""
        known = prepared.encoded is not None and self.embedder.startswith(self.difficulty.embedder)
        embedding = prepared.encoded.dense if prepared.encoded is not None and known else None
        score = self.difficulty.of_context(prepared.context, prepared.question.history, embedding=embedding)
        return round(score, 4)

    def tier_of(self, score: float) -> Tier:
        """Return the tier a difficulty starts in."""
        if score >= self.settings.complex_from:
            return "complex"
        return "medium" if score >= self.settings.medium_from else "simple"

    def _builtin_plan(self, question: Question) -> Plan:
        if question.model not in (AUTO, self.builtin.name):
            raise UnknownModel(f"no model is named {question.model!r}; there are {AUTO}, {self.builtin.name}")
        return Plan((self.builtin,), "no model is configured: answering from the passages")

    def _ruled(self, rule: RouteSettings, question: Question, *, why: str, score: float) -> Plan:
        if rule.tier is not None:
            return self._from_tier(rule.tier, question, why=why, score=score)
        named = next((item for item in self.deployments if item.name == rule.model), None)
        if named is None:
            why += f"; {rule.model} may not read this collection"
            return self._from_tier(self.tier_of(score), question, why=why, score=score)
        if clamped(named.tier, question) != named.tier:
            why += f"; {named.name} is outside the key's tiers"
            return self._from_tier(named.tier, question, why=why, score=score)
        return Plan(self._from_model(named.name, question), why, score)

    def _from_model(self, name: str, question: Question) -> tuple[Deployment, ...]:
        """Return the named model, the rest of its tier in file order, and the tiers above up to the key's ceiling."""
        named = next((item for item in self.deployments if item.name == name), None)
        if named is None:
            known = ", ".join([AUTO, *(item.name for item in by_tier(self.deployments))])
            raise UnknownModel(f"no model is named {name!r}; there are {known}")
        if TIER_RANK[named.tier] > TIER_RANK[question.tier_ceiling]:
            raise ModelNotAllowed(f"{name} is {named.tier}; this key goes up to {question.tier_ceiling}")
        others = [item for item in self._within(named.tier, question) if item is not named]
        return (named, *others)

    def _from_tier(self, tier: Tier, question: Question, *, why: str, score: float) -> Plan:
        """Return the plan that starts in the tier, within the key's, or in the nearest one that has a model."""
        start = clamped(tier, question)
        if start != tier:
            why += f"; the key's tiers make it {start}"
        chain = self._within(start, question)
        if not chain:
            # Nothing at or above: the best there is below, or outside the key's floor where nothing else is.
            allowed = [item for item in self.deployments if TIER_RANK[item.tier] <= TIER_RANK[question.tier_ceiling]]
            nearest = max(allowed, key=lambda item: TIER_RANK[item.tier], default=None)
            if nearest is None:
                raise ModelNotAllowed(f"no configured model is within the key's ceiling, {question.tier_ceiling}")
            chain = self._within(nearest.tier, question)
        if chain[0].tier != start:
            why += f"; the nearest configured tier is {chain[0].tier}"
        below = self._below(chain[0].tier, question) if self.settings.fall_below else ()
        cascades = self.settings.cascade and chain[0].tier != chain[-1].tier
        gate = self.gate if cascades else None
        return Plan((*chain, *below), f"{why}, first {chain[0].name}", score, gate)

    def _within(self, tier: Tier, question: Question) -> tuple[Deployment, ...]:
        """Return the models of the tier and above up to the key's ceiling, tier by tier, each in file order."""
        ranks = range(TIER_RANK[tier], TIER_RANK[question.tier_ceiling] + 1)
        return tuple(item for item in by_tier(self.deployments) if TIER_RANK[item.tier] in ranks)

    def _below(self, tier: Tier, question: Question) -> tuple[Deployment, ...]:
        """Return the models below the tier down to the key's floor, the best tier first."""
        ranks = range(TIER_RANK[question.tier_floor], TIER_RANK[tier])
        found = [item for item in self.deployments if TIER_RANK[item.tier] in ranks]
        return tuple(sorted(found, key=lambda item: -TIER_RANK[item.tier]))


def by_tier(deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """Return them from simple to complex, those of one tier in the given order."""
    return tuple(sorted(deployments, key=lambda deployment: TIER_RANK[deployment.tier]))


def clamped(tier: Tier, question: Question) -> Tier:
    """Return the tier, raised to the key's floor and then lowered to its ceiling."""
    raised = max(tier, question.tier_floor, key=lambda item: TIER_RANK[item])
    return min(raised, question.tier_ceiling, key=lambda item: TIER_RANK[item])
