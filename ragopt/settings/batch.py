"""What an operator says about batches: the `[batch]` table of ragopt.toml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

MEBIBYTE = 1024 * 1024


class BatchSettings(BaseModel):
    """The `[batch]` table of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    max_requests: int = Field(default=10_000, ge=1, le=100_000, description="requests in one POST /batch")
    max_bytes: int = Field(default=20 * MEBIBYTE, ge=1, description="body of one POST /batch")
    prepare_at_once: int = Field(default=2, ge=1, le=64, description="requests retrieved and packed at once")
    live_at_once: int = Field(default=8, ge=1, le=256, description="calls at once of what is asked live")
    live_s: float = Field(
        default=5, gt=0, description="seconds a live answer takes, by which asking live begins before a deadline"
    )
    poll_s: float = Field(default=5, gt=0, description="seconds until a provider is asked how far it is")
    poll_max_s: float = Field(default=60, gt=0, description="the longest such wait; each is half as long again")
    lookup_s: float = Field(
        default=60, ge=0, description="how long a batch is looked for whose submission was not confirmed"
    )

    delete_when_read: bool = Field(
        default=True, description="delete files and batches at the provider once their answers are kept here"
    )

    @model_validator(mode="after")
    def ascending(self) -> BatchSettings:
        """Return the table. Raises: `ValueError` if the longest wait is the shorter one."""
        if self.poll_s > self.poll_max_s:
            raise ValueError("poll_s must not be above poll_max_s")
        return self
