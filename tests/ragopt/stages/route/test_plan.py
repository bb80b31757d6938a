"""The order in which models are tried, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.records import EncodedQuestion
from ragopt.domain import TIER_RANK, Tier
from ragopt.errors import ModelBarred, ModelNotAllowed, UnknownModel
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.residency import Residency
from ragopt.results import Prepared
from ragopt.settings.collections import CollectionSettings
from ragopt.settings.routing import RouteSettings, RouteWhen, RoutingSettings
from ragopt.stages.route.difficulty import Difficulty, EvidenceHead, GeneralHead
from ragopt.stages.route.gate import QualityGate
from ragopt.stages.route.plan import RoutePlanner
from tests.model_calls import ScriptedProvider, prepared

TIERS: tuple[Tier, ...] = ("simple", "medium", "complex")
# Weighs the embedding alone: the log-odds of the evidence head are those of the general one.
GENERAL = GeneralHead(np.ones(2, np.float32), 0, 1, 3, 1, slope=1, intercept=0, length_slope=0, length_intercept=-2)
SCORER = Difficulty(GENERAL, EvidenceHead({"general": 0.0}, {"general": 1.0}, 0.0), "tag")


def deployment(name: str, tier: Tier = "simple") -> Deployment:
    """Return a deployment that is never called."""
    return Deployment(name, ScriptedProvider(), name, tier, 1)


BUILTIN = deployment("extractive")
CONFIGURED = [
    deployment("big", "complex"),
    deployment("small-1"),
    deployment("middle", "medium"),
    deployment("small-2"),
]


def planner(
    deployments: Sequence[Deployment] = CONFIGURED,
    *,
    settings: RoutingSettings | None = None,
    rules: Sequence[RouteSettings] = (),
    embedder: str = "other",
) -> RoutePlanner:
    """Return a planner over these; without vectors of its embedder every question has a difficulty of 0.12."""
    return RoutePlanner(
        deployments,
        BUILTIN,
        settings=settings or RoutingSettings(),
        rules=rules,
        difficulty=SCORER,
        gate=QualityGate(),
        embedder=embedder,
    )


def asked(model: str = "auto", *, floor: Tier = "simple", ceiling: Tier = "complex") -> Prepared:
    """Return a question of a key with these tiers."""
    found = prepared(model=model)
    return replace(found, question=replace(found.question, tier_floor=floor, tier_ceiling=ceiling))


def hard(log_odds: float) -> Prepared:
    """Return a question whose embedding has this log-odds, length aside."""
    encoded = EncodedQuestion(
        np.array([log_odds, 0], np.float32), np.zeros((0, 2), np.float32), np.zeros(0, np.float32)
    )
    return replace(asked(), encoded=encoded)


def names(plan: Plan) -> list[str]:
    """Return the names of the planned deployments."""
    return [planned.name for planned in plan.deployments]


def test_an_easy_question_goes_up_the_tiers_in_file_order() -> None:
    """Simple before medium before complex, and the file's order within a tier."""
    plan = planner()(asked())
    assert names(plan) == ["small-1", "small-2", "middle", "big"]
    assert plan.score == pytest.approx(0.1192)
    assert plan.reason == "difficulty 0.12: simple, first small-1"


@pytest.mark.parametrize(
    ("log_odds", "expected"),
    [(-6, ["small-1", "small-2", "middle", "big"]), (-0.2, ["middle", "big"]), (6, ["big"])],
)
def test_a_harder_question_starts_higher(log_odds: float, expected: list[str]) -> None:
    """The thresholds decide the tier that the question starts in; below it nothing is tried."""
    assert names(planner(embedder="tag/mean")(hard(log_odds))) == expected


def test_vectors_of_another_model_are_not_scored() -> None:
    """An embedding that the scorer was not fitted to would give a difficulty that means nothing."""
    assert planner(embedder="other")(hard(6)).score == planner()(asked()).score


def test_thresholds_are_settings() -> None:
    """With the thresholds at 0 every question is complex."""
    always = RoutingSettings(medium_from=0, complex_from=0)
    assert names(planner(settings=always)(asked())) == ["big"]


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ("small-1", ["small-1", "small-2", "middle", "big"]),
        ("small-2", ["small-2", "small-1", "middle", "big"]),
        ("big", ["big"]),
    ],
)
def test_named_model_is_first_and_falls_back_upwards(requested: str, expected: list[str]) -> None:
    """A named model is used as asked, ungated; then the rest of its tier and the tiers above, never a lower one."""
    plan = planner()(asked(requested))
    assert (names(plan), plan.gate) == (expected, None)
    assert plan.reason == f"the request names {requested}"


@pytest.mark.parametrize("requested", ["auto", "extractive"])
def test_nothing_configured_is_the_builtin(requested: str) -> None:
    """Without models the built-in one answers, by default and by name, and the reason is a sentence."""
    plan = planner(())(asked(requested))
    assert (plan.deployments, plan.score, plan.gate) == ((BUILTIN,), None, None)
    assert " " in plan.reason


@pytest.mark.parametrize("deployments", [(), CONFIGURED])
def test_unknown_name_lists_the_known_ones(deployments: Sequence[Deployment]) -> None:
    """The error names what was asked for and every name there is."""
    with pytest.raises(UnknownModel, match=r"'gpt-9'; there are auto, (small-1, small-2, middle, big|extractive)$"):
        planner(deployments)(asked("gpt-9"))


@pytest.mark.parametrize(
    ("floor", "ceiling", "expected"),
    [
        ("medium", "complex", ["middle", "big"]),
        ("simple", "medium", ["small-1", "small-2", "middle"]),
        ("simple", "simple", ["small-1", "small-2"]),
        ("complex", "complex", ["big"]),
    ],
)
def test_route_stays_within_the_keys_tiers(floor: Tier, ceiling: Tier, expected: list[str]) -> None:
    """The floor lifts the start, the ceiling ends the fallbacks."""
    assert names(planner()(asked(floor=floor, ceiling=ceiling))) == expected


def test_a_model_above_the_ceiling_is_refused_by_name() -> None:
    """The error says how far the key goes."""
    with pytest.raises(ModelNotAllowed, match="big is complex; this key goes up to medium"):
        planner()(asked("big", ceiling="medium"))


def test_no_model_within_the_ceiling_is_an_error() -> None:
    """Nothing above the ceiling is called, even if there is nothing else."""
    with pytest.raises(ModelNotAllowed, match="ceiling, medium"):
        planner([deployment("big", "complex")])(asked(ceiling="medium"))


def test_a_tier_without_models_takes_the_nearest() -> None:
    """The tier above first; where there is none above, the highest below; the reason says so."""
    rule = RouteSettings(tier="medium")
    up = planner([deployment("s"), deployment("c", "complex")], rules=[rule])(asked())
    down = planner([deployment("s")], rules=[rule])(asked())
    assert (names(up), names(down)) == (["c"], ["s"])
    assert "the nearest configured tier is simple" in down.reason


def test_a_rule_comes_before_the_difficulty() -> None:
    """A rule's tier or model starts the route, and the reason names the rule; a named model is still asked first."""
    rules = [RouteSettings(name="cats", when=RouteWhen(contains=("cats",)), model="middle")]
    plan = planner(rules=rules)(asked())
    assert names(plan) == ["middle", "big"]
    assert plan.reason.startswith("rule 1 (cats)")
    assert names(planner(rules=rules)(asked("big"))) == ["big"]


def test_a_rules_model_outside_the_keys_tiers_gives_way() -> None:
    """The key is stronger than the rule."""
    plan = planner(rules=[RouteSettings(model="big")])(asked(ceiling="medium"))
    assert names(plan) == ["middle"]
    assert "outside the key's tiers" in plan.reason


@pytest.mark.parametrize(
    ("ceiling", "cascade", "gated"), [("complex", True, True), ("simple", True, False), ("complex", False, False)]
)
def test_the_gate_needs_a_tier_above(ceiling: Tier, *, cascade: bool, gated: bool) -> None:
    """Where there is nowhere to escalate to, or the cascade is off, an answer is released as it comes."""
    plan = planner(settings=RoutingSettings(cascade=cascade))(asked(ceiling=ceiling))
    assert (plan.gate is not None) is gated


def test_lower_tiers_are_a_last_resort_if_configured() -> None:
    """With `fall_below` the tiers below follow last, the best of them first, down to the key's floor."""
    below = RoutingSettings(medium_from=0, complex_from=0, fall_below=True)
    assert names(planner(settings=below)(asked())) == ["big", "middle", "small-1", "small-2"]
    assert names(planner(settings=below)(asked(floor="medium"))) == ["big", "middle"]


@given(st.lists(st.sampled_from(TIERS), min_size=1, max_size=8), st.sampled_from(TIERS), st.sampled_from(TIERS))
def test_a_route_never_falls_and_never_leaves_the_ceiling(tiers: list[Tier], floor: Tier, ceiling: Tier) -> None:
    """Whatever the file holds, a plan names each model at most once, in tiers that never fall, up to the ceiling."""
    configured = [deployment(str(number), tier) for number, tier in enumerate(tiers)]
    if TIER_RANK[floor] > TIER_RANK[ceiling] or min(map(TIER_RANK.__getitem__, tiers)) > TIER_RANK[ceiling]:
        return
    planned = planner(configured)(asked(floor=floor, ceiling=ceiling)).deployments
    ranks = [TIER_RANK[one.tier] for one in planned]
    assert ranks == sorted(ranks)
    assert max(ranks) <= TIER_RANK[ceiling]
    assert len({one.name for one in planned}) == len(planned) > 0


def test_models_are_those_that_may_read_the_collection() -> None:
    """A collection with regions is answered by models that run in them; the others are in no plan."""
    models = [replace(item, regions=("eu",) if item.name in {"small-2", "big"} else ("us",)) for item in CONFIGURED]
    residency = Residency((CollectionSettings(name="hr", regions=("eu",)),))
    question = replace(asked().question, collection="hr")
    plan = replace(planner(models), residency=residency)
    assert names(plan(asked())) == ["small-1", "small-2", "middle", "big"]
    assert names(plan(replace(asked(), question=question))) == ["small-2", "big"]
    assert names(plan(replace(asked(), question=replace(question, model="big")))) == ["big"]
    with pytest.raises(ModelBarred, match="'hr' may only go to eu"):
        plan(replace(asked(), question=replace(question, model="small-1")))
    with pytest.raises(ModelBarred):
        replace(planner(models[1:2]), residency=residency)(replace(asked(), question=question))


def test_a_rule_that_names_a_barred_model_is_passed_over() -> None:
    """The difficulty decides then, and the reason says so."""
    models = [replace(item, regions=("us",) if item.name == "big" else ("eu",)) for item in CONFIGURED]
    rules = [RouteSettings(when=RouteWhen(), model="big")]
    plan = replace(planner(models, rules=rules), residency=Residency((CollectionSettings(regions=("eu",)),)))
    found = plan(asked())
    assert names(found) == ["small-1", "small-2", "middle"]
    assert "big may not read this collection" in found.reason
