"""What each key may ask for, and how much may wait: the `[limits]` table of ragopt.toml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class LimitSettings(BaseModel):
    """The `[limits]` table of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    rpm: int = Field(default=0, ge=0, description="requests per minute of a key that names none; 0: no limit")
    tpm: int = Field(default=0, ge=0, description="tokens per minute of a key that names none; 0: no limit")
    batch_questions: int = Field(
        default=100_000, ge=0, description="questions of a key that may be open in batches at once; 0: no limit"
    )

    interactive_queue: int = Field(default=128, ge=0, description="questions that may wait for a place; beyond: 503")
    background_queue: int = Field(default=256, ge=0, description="background work that may wait; beyond: 503")
    background_share: float = Field(default=0.5, gt=0, le=1, description="most of the places that background work has")
    background_wait_s: float = Field(default=30, ge=0, description="how long background work waits for a place")
