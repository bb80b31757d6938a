"""What an operator says about collections: the `[[collections]]` table of ragopt.toml, one policy per field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ragopt.settings.examples import Examples, shown

# What becomes of a claim that the passages do not carry; in the order of what it may cost.
Unsupported: TypeAlias = Literal["flag", "drop", "correct", "escalate", "abstain"]

# What becomes of personal data, in documents before they are stored and in answers before they are released.
PersonalData: TypeAlias = Literal["off", "flag", "redact"]

# What becomes of instructions that do not belong where they stand: in documents, and in questions.
InjectionPolicy: TypeAlias = Literal["off", "flag", "quarantine"]
QuestionPolicy: TypeAlias = Literal["off", "flag", "refuse"]
# What becomes of content that harms: of questions that ask for it, and of sentences of answers that give it.
AnswerPolicy: TypeAlias = Literal["off", "flag", "withhold"]
Category: TypeAlias = Literal[
    "weapons", "drugs", "malware", "fraud", "theft", "self_harm", "hate", "minors", "violence", "privacy",
    "disinformation",
]  # fmt: skip
# Whether whoever writes a document is believed: the documents of a trusted one are not quarantined.
Trust: TypeAlias = Literal["trusted", "untrusted"]

EVERY = "*"


class CollectionSettings(BaseModel):
    """One `[[collections]]` entry of ragopt.toml: the collections it is for, and their policies."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(default=EVERY, min_length=1, description="the collection; `*`: every one")
    tenant: str = Field(default=EVERY, min_length=1, description="whose collection; `*`: every tenant's")
    unsupported: Unsupported = Field(
        default="flag", description="what becomes of a claim that the passages do not carry"
    )
    personal_data: PersonalData = Field(
        default="off",
        description="of documents before they are stored, of answers before their release: left, counted, or replaced",
    )

    keep_answers: bool = Field(
        default=False, description="whether answers are kept for `ragopt export`, without personal data"
    )
    injection: InjectionPolicy = Field(
        default="flag",
        description="of documents that give a model orders: ignored, scored, or kept from answers",
    )
    trust: Trust = Field(
        default="untrusted", description="of documents: those of a trusted one are scored, and never quarantined"
    )
    questions: QuestionPolicy = Field(
        default="flag", description="of questions that try to take over the model: not looked for, noted, or refused"
    )
    harmful_questions: QuestionPolicy = Field(
        default="flag", description="of questions that ask for harmful content: not looked for, noted, or refused"
    )
    harmful_answers: AnswerPolicy = Field(
        default="flag", description="of sentences of answers that give it: not looked for, counted, or left out"
    )
    harmful_allowed: tuple[Category, ...] = Field(
        default=(), description="categories of harmful content that the collection may talk about"
    )
    regions: tuple[str, ...] = Field(
        default=(), description="only models that say they run in these `regions` are called; empty: every model is"
    )

    instructions: str = Field(
        default="", max_length=8_000, description="what every prompt says behind the rules, of the answers' form"
    )
    examples: Examples = Field(
        default=(), description="a file of good answers that every prompt shows, as `ragopt export examples` writes it"
    )
    segment: str = Field(
        default="", description="a segment of the knobs file, whose knobs the questions to the collection get"
    )

    def covers(self, *, tenant: str, collection: str) -> bool:
        """Return whether the entry is for a tenant's collection."""
        return self.name in (EVERY, collection) and self.tenant in (EVERY, tenant)


def collection_settings(entries: Sequence[CollectionSettings], *, tenant: str, collection: str) -> CollectionSettings:
    """Return the policies of a tenant's collection, under its own name; the defaults where no entry is for it.

    Each policy is that of the most specific entry that sets it: name and tenant, then the name, then the
    tenant, then neither. So an entry for one collection keeps what an entry for all of them demands.
    """
    covering = sorted(
        (entry for entry in entries if entry.covers(tenant=tenant, collection=collection)),
        key=lambda entry: (entry.name != EVERY, entry.tenant != EVERY),
    )
    found: dict[str, object] = {}
    for entry in covering:
        found |= entry.model_dump(exclude_unset=True)
    return CollectionSettings.model_validate({**found, "name": collection, "tenant": tenant})


@dataclass(frozen=True, slots=True)
class Told:
    """What every prompt of a collection says before the first breakpoint; "" for nothing."""

    instructions: str = ""
    examples: str = ""


def told_of(entries: Sequence[CollectionSettings], *, tenant: str, collection: str) -> Told:
    """Return what the prompts of a tenant's collection say."""
    if not any(entry.examples or entry.instructions for entry in entries):
        return Told()
    policies = collection_settings(entries, tenant=tenant, collection=collection)
    return Told(policies.instructions, shown(policies.examples))


def segment_of(entries: Sequence[CollectionSettings], *, tenant: str, collection: str) -> str:
    """Return the segment of the knobs file that a tenant's collection names, "" for none."""
    if not any(entry.segment for entry in entries):
        return ""
    return collection_settings(entries, tenant=tenant, collection=collection).segment
