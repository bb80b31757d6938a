"""Settings of follow-up questions in ragopt.toml: the `[rewrite]` table."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RewriteSettings(BaseModel):
    """`[rewrite]`: what makes a follow-up into a question that stands alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(
        default="", description="a configured model that rewrites what ragopt alone is not sure of; empty: none"
    )
    deadline_ms: int = Field(default=1_500, ge=1, description="what the model has for it; then ragopt's own rewrite")
