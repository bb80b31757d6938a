"""Settings of models in ragopt.toml: `[[models]]`, their prices, and `[resilience]`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from ragopt.domain import Tier
from ragopt.providers.capabilities import Effort


class PriceSettings(BaseModel):
    """USD per million tokens; overrides the price table for one model.

    Cached input and what is written to a provider's cache cost as input unless said; a write for an hour costs
    as one for the shorter lifetime unless said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    input: Decimal = Field(ge=0, allow_inf_nan=False)
    output: Decimal = Field(ge=0, allow_inf_nan=False)
    cached_input: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write_1h: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)


class ModelSettings(BaseModel):
    """One `[[models]]` entry of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1, description="what the API calls it")
    provider: Literal["openai", "anthropic", "extractive"]
    model: str = Field(default="", description="the provider's name for it")
    tier: Tier = "simple"
    base_url: str | None = Field(default=None, description="another server that speaks the dialect")
    api_key_env: str | None = Field(default=None, description="the NAME of a variable, never a key")
    api_key_file: Path | None = Field(default=None, description="a file that holds the key; read for every call")
    timeout_s: float = Field(default=30, gt=0, le=600)
    streaming: bool = Field(default=True, description="false for a server that cannot stream")
    batch: bool | None = Field(
        default=None, description="whether its server has the provider's batch API; unset: what is known of the model"
    )
    effort: Effort | None = Field(default=None, description="how much to reason; unset: the model's default")
    citations: Literal["markers", "native"] = Field(
        default="markers", description="`native`: by Anthropic's own citations; the passages go as documents"
    )
    price: PriceSettings | None = None
    rpm: int | None = Field(default=None, ge=1, description="requests per minute that ragopt sends at most")
    tpm: int | None = Field(default=None, ge=1, description="tokens per minute that ragopt sends and asks for at most")
    max_concurrent: int | None = Field(default=None, ge=1, description="calls at once; more wait for a place")
    regions: tuple[str, ...] = Field(
        default=(), description="where its calls are processed, as the operator names it; for `[[collections]]`"
    )
    group: str = Field(default="", description="models of one group share their calls by what is left of their limits")


class ResilienceSettings(BaseModel):
    """The `[resilience]` table of ragopt.toml: when a failed model call is made again, and when no more."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    attempts: int = Field(default=2, ge=1, le=5, description="calls of one model for one question; 1: no retries")
    retry_share: float = Field(default=0.1, ge=0, le=1, description="retries per first call, over a minute")
    breaker_share: float = Field(default=0.5, gt=0, le=1, description="failed share that stops calls of a model")
    breaker_calls: int = Field(default=20, ge=1, description="fewest calls in the window that can stop them")
    breaker_window_s: float = Field(default=30, gt=0, description="seconds over which that share is counted")
