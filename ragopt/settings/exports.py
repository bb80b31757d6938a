"""How long and how many answers are kept for export: the `[export]` table of ragopt.toml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ExportSettings(BaseModel):
    """The `[export]` table of ragopt.toml; `keep_answers` of a collection turns the keeping on."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    days: int = Field(default=90, ge=1, le=400, description="days until a kept answer is forgotten")
    max_answers: int = Field(
        default=10_000, ge=1, le=1_000_000, description="most kept answers of a tenant; the oldest go first"
    )
