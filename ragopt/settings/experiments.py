"""Settings of live experiments: the `[[experiments]]` table of ragopt.toml."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ragopt.settings.examples import Examples

# What is measured of every answer; each is a loss: less is better.
Loss: TypeAlias = Literal["cost_usd", "latency_ms", "abstained", "unsupported", "partial", "disliked"]
Unit: TypeAlias = Literal["conversation", "user", "request"]


class VariantSettings(BaseModel):
    """One arm of an experiment: its share of the traffic, and what is different in it; nothing is in the control."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1, max_length=64, description="how answers and reports call it")
    share: float = Field(gt=0, description="of the traffic, beside the other variants' shares")
    context_tokens: int | None = Field(default=None, ge=1, le=200_000, description="as `RAGOPT_CONTEXT_TOKENS`")
    top_k: int | None = Field(default=None, ge=1, le=1_000, description="as `RAGOPT_TOP_K`")
    relevance_floor: float | None = Field(default=None, ge=0, le=1, description="as `RAGOPT_RELEVANCE_FLOOR`")
    rerank_depth: int | None = Field(default=None, ge=1, le=1_000, description="as `RAGOPT_RERANK_DEPTH`")
    model: str | None = Field(default=None, description="a configured model, where the request says `auto`")
    instructions: str = Field(default="", max_length=8_000, description="added behind the rules of the prompt")
    examples: Examples | None = Field(default=None, description="a file, in place of the collection's `examples`")

    def knobs(self) -> dict[str, object]:
        """Return the query knobs that differ, by name."""
        names = ("context_tokens", "top_k", "relevance_floor", "rerank_depth")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class GuardSettings(BaseModel):
    """What a variant may lose at most: a loss, and how much worse than the control it may get."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    loss: Loss = Field(description="what is watched")
    margin: float = Field(ge=0, description="how much worse than the control, in the loss's own unit, is still right")


class ExperimentSettings(BaseModel):
    """One `[[experiments]]` entry of ragopt.toml. The first variant is the control."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9._-]+$", description="new results: a new name")
    tenant: str = Field(default="*", min_length=1, description="whose questions; `*`: every tenant's")
    collection: str = Field(default="*", min_length=1, description="over which collection; `*`: every one")
    unit: Unit = Field(default="conversation", description="what keeps one variant: a conversation, a user, or nothing")
    goal: Loss = Field(default="cost_usd", description="what the variants are to lower")
    guards: tuple[GuardSettings, ...] = Field(
        default=(GuardSettings(loss="unsupported", margin=0.02), GuardSettings(loss="abstained", margin=0.02)),
        description="what ends a variant by itself",
    )
    alpha: float = Field(default=0.05, gt=0, lt=1, description="chance of a false verdict, however often one looks")
    variants: tuple[VariantSettings, ...] = Field(min_length=2, description="the control first")

    @model_validator(mode="after")
    def names_differ(self) -> ExperimentSettings:
        """Return the entry if its variants have names of their own."""
        names = [variant.name for variant in self.variants]
        if len(set(names)) < len(names):
            raise ValueError("two variants share a name")
        return self
