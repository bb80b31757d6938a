"""Which configured models to try, in which order."""

from __future__ import annotations

from collections.abc import Sequence

from ragopt.domain import Tier
from ragopt.errors import UnknownModel
from ragopt.providers.deployment import Deployment, Plan

AUTO = "auto"
TIER_RANK: dict[Tier, int] = {"simple": 0, "medium": 1, "complex": 2}


def plan_route(requested: str, *, deployments: Sequence[Deployment], builtin: Deployment) -> Plan:
    """Return the deployments to try, first choice first.

    requested: `auto`, or a configured name; the rest of its tier in file order and the tiers above
    are what it falls back to. deployments: in the order of ragopt.toml; if there are none,
    `builtin` is the only model.

    Raises: `UnknownModel` naming what there is.
    """
    known = by_tier(deployments or [builtin])
    if requested == AUTO:
        return Plan(known, auto_reason(known) if deployments else "no model is configured: answering from the passages")
    names = [deployment.name for deployment in known]
    if requested not in names:
        raise UnknownModel(f"no model is named {requested!r}; there are {', '.join([AUTO, *names])}")
    return Plan(known[names.index(requested) :], f"the request names {requested}")


def by_tier(deployments: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """Return them from simple to complex, those of one tier in the given order."""
    return tuple(sorted(deployments, key=lambda deployment: TIER_RANK[deployment.tier]))


def auto_reason(ordered: Sequence[Deployment]) -> str:
    """Return the sentence for a choice by order alone."""
    first = ordered[0]
    return f"{first.name} is the first model of the lowest configured tier, {first.tier}"
