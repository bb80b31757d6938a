"""Settings of conversations in ragopt.toml: the `[history]` table."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class HistorySettings(BaseModel):
    """`[history]`: what of an earlier conversation goes into a prompt."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    budget_tokens: int = Field(
        default=1_500, ge=0, description="most tokens of summary, last turns and recalled turns together; 0: no history"
    )
    recent_share: float = Field(
        default=0.4, ge=0, le=1, description="share of it that the last turns may grow to before older ones are folded"
    )
    summary_share: float = Field(default=0.2, ge=0, le=0.5, description="share of it that the summary may take")
    model: str = Field(
        default="", description="a configured model that writes the summary, after the answer; empty: its sentences"
    )
    recall_floor: float = Field(
        default=0.25,
        ge=0,
        le=1,
        description="old turns less like the question, by cosine, and without its words stay out",
    )
