"""What an operator says about routing: the `[routing]` table and the `[[routes]]` rules of ragopt.toml."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from ragopt.domain import Tier


class RouteWhen(BaseModel):
    """What a rule asks of a question; every condition that is given must hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    collection: tuple[str, ...] | None = Field(default=None, description="one of these collections")
    contains: tuple[str, ...] | None = Field(default=None, description="one of these texts, in any case")
    matches: str | None = Field(default=None, description="a regular expression found in the question, in any case")
    min_score: float | None = Field(default=None, ge=0, le=1, description="difficulty of at least this")
    max_score: float | None = Field(default=None, ge=0, le=1, description="difficulty below this")
    label_team: str | None = Field(default=None, description="the request's label `team`")
    label_user: str | None = Field(default=None, description="the request's label `user`")
    label_feature: str | None = Field(default=None, description="the request's label `feature`")

    @field_validator("collection", "contains", mode="before")
    @classmethod
    def one_or_several(cls, value: object) -> object:
        """Return a list for a single text."""
        return (value,) if isinstance(value, str) else value

    @field_validator("matches")
    @classmethod
    def compiles(cls, value: str | None) -> str | None:
        """Return the pattern. Raises: `ValueError` if it is no regular expression."""
        try:
            re.compile(value or "")
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    def labels(self) -> dict[str, str]:
        """Return the labels that are asked for, by name."""
        asked = {"team": self.label_team, "user": self.label_user, "feature": self.label_feature}
        return {name: value for name, value in asked.items() if value is not None}


class RouteSettings(BaseModel):
    """One `[[routes]]` entry of ragopt.toml: exactly one of `tier` and `model`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(default="", description="how `route.reason` calls the rule")
    when: RouteWhen = Field(default=RouteWhen(), description="the conditions; none: always")
    tier: Tier | None = Field(default=None, description="start in this tier")
    model: str | None = Field(default=None, description="start with this model")

    @model_validator(mode="after")
    def one_target(self) -> RouteSettings:
        """Return the rule. Raises: `ValueError` unless it names a tier or a model."""
        if (self.tier is None) == (self.model is None):
            raise ValueError("a rule names either a tier or a model")
        return self


class RoutingSettings(BaseModel):
    """The `[routing]` table of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    medium_from: float = Field(default=0.3, ge=0, le=1, description="difficulty from which a question starts in medium")
    complex_from: float = Field(default=0.7, ge=0, le=1, description="difficulty from which it starts in complex")
    cascade: bool = Field(default=True, description="check an answer before release and escalate a bad one")
    fall_below: bool = Field(default=False, description="try lower tiers when all others failed")

    @model_validator(mode="after")
    def ascending(self) -> RoutingSettings:
        """Return the table. Raises: `ValueError` if the thresholds are not in order."""
        if self.medium_from > self.complex_from:
            raise ValueError("medium_from must not be above complex_from")
        return self
