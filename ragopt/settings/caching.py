"""What an operator says about cached answers: the `[cache]` table of ragopt.toml."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

KIBIBYTE = 1024


class CacheSettings(BaseModel):
    """The `[cache]` table of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    ttl_s: int = Field(default=86_400, ge=0, description="life of a cached answer; 0 turns the cache off")
    entries: int = Field(default=10_000, ge=1, description="most answers kept, of all tenants; the least used go first")
    entry_bytes: int = Field(default=64 * KIBIBYTE, ge=KIBIBYTE, description="a larger answer is not kept")
    semantic: bool = Field(default=True, description="whether a question in other words may get a kept answer")
    max_wrong: float = Field(
        default=0.05, gt=0, lt=1, description="of what is served to other words, the share that may be wrong"
    )
    shadow_share: float = Field(
        default=0.02, ge=0, le=1, description="share of such answers that is given freshly instead, to compare"
    )
