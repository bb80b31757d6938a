"""The order in which models are tried."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ragopt.domain import Tier
from ragopt.errors import UnknownModel
from ragopt.providers.deployment import Deployment
from ragopt.stages.route import TIER_RANK, plan_route
from tests.model_calls import ScriptedProvider

TIERS: tuple[Tier, ...] = ("simple", "medium", "complex")


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


def names(requested: str) -> list[str]:
    """Return the names of the planned deployments."""
    return [planned.name for planned in plan_route(requested, deployments=CONFIGURED, builtin=BUILTIN).deployments]


def test_auto_goes_up_the_tiers_in_file_order() -> None:
    """Simple before medium before complex, and the file's order within a tier."""
    assert names("auto") == ["small-1", "small-2", "middle", "big"]


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        ("small-1", ["small-1", "small-2", "middle", "big"]),
        ("small-2", ["small-2", "middle", "big"]),
        ("big", ["big"]),
    ],
)
def test_named_model_is_first_and_falls_back_upwards(requested: str, expected: list[str]) -> None:
    """A named model is tried first, then the rest of its tier and the tiers above, never a lower one."""
    assert names(requested) == expected


@pytest.mark.parametrize("requested", ["auto", "extractive"])
def test_nothing_configured_is_the_builtin(requested: str) -> None:
    """Without models the built-in one answers, by default and by name, and the reason is a sentence."""
    plan = plan_route(requested, deployments=(), builtin=BUILTIN)
    assert (plan.deployments, plan.score) == ((BUILTIN,), None)
    assert " " in plan.reason


def test_builtin_is_not_a_name_beside_configured_models() -> None:
    """With models configured only theirs are names."""
    with pytest.raises(UnknownModel):
        plan_route("extractive", deployments=CONFIGURED, builtin=BUILTIN)


def test_unknown_name_lists_the_known_ones() -> None:
    """The error names what was asked for and every name there is."""
    with pytest.raises(UnknownModel, match=r"'gpt-9'; there are auto, small-1, small-2, middle, big"):
        names("gpt-9")


@given(st.lists(st.sampled_from(TIERS), min_size=1, max_size=8))
def test_auto_tries_every_model_once_in_rising_tiers(tiers: list[Tier]) -> None:
    """Whatever the file holds, `auto` is a permutation of it with tiers that never fall."""
    configured = [deployment(str(number), tier) for number, tier in enumerate(tiers)]
    planned = plan_route("auto", deployments=configured, builtin=BUILTIN).deployments
    ranks = [TIER_RANK[one.tier] for one in planned]
    assert sorted(one.name for one in planned) == sorted(one.name for one in configured)
    assert ranks == sorted(ranks)
