"""Settings of money in ragopt.toml: budgets, the baseline of savings, and targets."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ragopt.errors import WhenSpent


class BudgetSettings(BaseModel):
    """One `[[budgets]]` entry of ragopt.toml: what may be spent in USD, per UTC day and per UTC month."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    scope: Literal["tenant", "key", "user", "team", "feature"] = Field(description="what is counted together")
    name: str = Field(default="*", min_length=1, description="whose budget it is; `*`: each one's own")
    tenant: str = Field(default="*", min_length=1, description="whose keys it is for; `*`: each tenant apart")
    usd_per_day: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False, description="most per UTC day")
    usd_per_month: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False, description="most per UTC month")
    when_spent: WhenSpent = Field(default="cheaper_tier", description="what is left once it is spent")

    @model_validator(mode="after")
    def limits_something(self) -> BudgetSettings:
        """Return the entry if it holds a limit."""
        if self.usd_per_day is None and self.usd_per_month is None:
            raise ValueError("needs usd_per_day, usd_per_month or both")
        return self


class BaselineSettings(BaseModel):
    """`[baseline]`: what savings are counted against."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    chunk_tokens: int = Field(default=800, ge=1, description="size of its chunks")
    overlap: int = Field(default=400, ge=0, description="how much of a chunk the next one repeats")
    top_k: int = Field(default=5, ge=1, description="chunks in its prompt")
    model: str = Field(default="", description="a configured name; empty: the first model of the highest tier")

    @model_validator(mode="after")
    def advances(self) -> BaselineSettings:
        """Return the settings if a chunk is more than what it repeats."""
        if self.overlap >= self.chunk_tokens:
            raise ValueError("overlap must be less than chunk_tokens")
        return self


class TargetSettings(BaseModel):
    """`[targets]`: what the operator aims at; a target that is unset is not judged."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    cost_per_answer_usd: Decimal | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="most that an answer costs on average; alarm beyond it"
    )
    saved_share: float | None = Field(
        default=None, ge=0, lt=1, description="least share of the baseline's cost that is saved"
    )
    latency_p95_ms: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="most milliseconds for 95 of 100 answers"
    )
    supported_share: float | None = Field(
        default=None, ge=0, lt=1, description="least share of judged claims that their passages carry"
    )
    answered_share: float | None = Field(
        default=None, ge=0, lt=1, description="least share of questions that are answered and not abstained from"
    )
    liked_share: float | None = Field(
        default=None, ge=0, lt=1, description="least share of rated answers that are rated up"
    )
    cost_drift: Decimal = Field(
        default=Decimal("1.5"), gt=1, allow_inf_nan=False, description="alarm over this many times the median day"
    )
    min_answers: int = Field(default=20, ge=1, description="what rests on fewer answers is not judged")
