"""What an operator knows for certain: the `[[facts]]` table of ragopt.toml."""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

EVERY = "*"


class FactSettings(BaseModel):
    """One `[[facts]]` entry of ragopt.toml: a claim that the pattern is found in must have the value."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    pattern: str = Field(min_length=1, description="a regular expression found in the claim, in any case")
    value: str = Field(min_length=1, description="what such a claim says: an amount, a date, a name or other words")
    collection: str = Field(default=EVERY, min_length=1, description="for answers from this collection; `*`: every one")
    tenant: str = Field(default=EVERY, min_length=1, description="for this tenant's answers; `*`: every tenant's")

    @field_validator("pattern")
    @classmethod
    def compiles(cls, value: str) -> str:
        """Return the pattern. Raises: `ValueError` if it is no regular expression."""
        try:
            re.compile(value)
        except re.error as error:
            raise ValueError(f"not a regular expression: {error}") from error
        return value

    def covers(self, *, tenant: str, collection: str) -> bool:
        """Return whether the fact is for a tenant's collection."""
        return self.collection in (EVERY, collection) and self.tenant in (EVERY, tenant)
