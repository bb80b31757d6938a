"""What `ragopt plan` cannot read from the ledger: the `[plan]` table of ragopt.toml."""

from __future__ import annotations

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from ragopt.domain import Tier


class PlanSettings(BaseModel):
    """The `[plan]` table of ragopt.toml. The prices and rates are examples: put your own offers in their place."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    can_wait: tuple[str, ...] = Field(
        default=(), description="features whose answers may come a day later; unset: all that is not streamed"
    )
    moves: float = Field(
        default=0.5, gt=0, le=1, description="share of the calls of stronger tiers that a fine-tuned model takes over"
    )
    tuned_price_factor: Decimal = Field(
        default=Decimal(2), gt=0, allow_inf_nan=False, description="price of the fine-tuned model over that of `simple`"
    )
    training_usd_per_million: Decimal = Field(
        default=Decimal(5), ge=0, allow_inf_nan=False, description="USD per million training tokens"
    )
    training_examples: int = Field(default=1_000, ge=1, description="answers to train on")
    training_epochs: int = Field(default=3, ge=1, description="times each of them is read")
    self_hosted_tier: Tier = Field(default="simple", description="the highest tier whose calls a server of yours takes")
    server_usd_per_hour: Decimal = Field(
        default=Decimal("2.5"), gt=0, allow_inf_nan=False, description="USD an hour of one server, day and night"
    )
    server_input_tokens_per_s: float = Field(default=8_000, gt=0, description="input tokens a second one server reads")
    server_output_tokens_per_s: float = Field(
        default=1_000, gt=0, description="output tokens a second one server writes, over all its streams"
    )
    server_busy_share: float = Field(
        default=0.6, gt=0, le=1, description="how busy servers may be in the busiest hour, so that answers stay quick"
    )
    min_calls: int = Field(default=1_000, ge=1, description="over fewer calls nothing is said")
    min_days: int = Field(default=7, ge=1, description="over fewer days with calls nothing is said")
