"""What finds personal data that has no form of its own: the `[privacy]` table of ragopt.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

# The kinds of personal data that take a trained model.
NamedKind: TypeAlias = Literal["name", "address"]


class PrivacySettings(BaseModel):
    """The `[privacy]` table of ragopt.toml; `personal_data` of a collection says what becomes of what is found."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    model: str = Field(
        default="",
        description="a spaCy pipeline, installed or a folder, with which Presidio finds names and places; "
        "needs the extra `presidio`; empty: they are not looked for",
    )
    entities: Mapping[str, NamedKind] = Field(
        default={"PERSON": "name", "LOCATION": "address"},
        min_length=1,
        description="which of Presidio's entities are looked for, and what each is here: `name` or `address`",
    )
