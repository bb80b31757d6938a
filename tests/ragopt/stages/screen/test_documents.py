"""Documents are stored as the policy of their collection says."""

from __future__ import annotations

import asyncio

import pytest

from indexes.records import Document
from ragopt.settings.collections import CollectionSettings, PersonalData
from ragopt.stages.screen.documents import DocumentScreen

LETTER = Document(
    "letter", "Write to jo@example.org.", title="For jo@example.org", metadata={"from": "a@b.de", "year": 2024}
)


def admitted(document: Document, policy: PersonalData) -> Document:
    """Return the document as it comes out of the screen of a collection with that policy."""
    screen = DocumentScreen([CollectionSettings(personal_data=policy)])
    return asyncio.run(screen("acme", "c", [document]))[0]


def test_a_policy_redacts_text_title_and_metadata() -> None:
    """Each is replaced, and provenance says how much there was."""
    stored = admitted(LETTER, "redact")
    assert (stored.text, stored.title) == ("Write to [EMAIL].", "For [EMAIL]")
    assert stored.metadata == {"from": "[EMAIL]", "year": 2024}
    assert stored.provenance["personal_data"] == "email=3"


def test_a_policy_may_only_count() -> None:
    """The text stays as it was sent."""
    stored = admitted(LETTER, "flag")
    assert (stored.text, stored.metadata) == (LETTER.text, LETTER.metadata)
    assert stored.provenance["personal_data"] == "email=3"


def test_without_a_policy_nothing_is_touched() -> None:
    """No policy, no provenance."""
    assert admitted(LETTER, "off") == LETTER


@pytest.mark.parametrize("policy", ["flag", "redact"])
def test_no_document_is_screened_twice(policy: PersonalData) -> None:
    """A queue holds screened documents: their counts stay those of the text that was sent."""
    once = admitted(LETTER, policy)
    assert admitted(once, policy) is once


def test_policies_are_those_of_the_collection() -> None:
    """A rule for one collection leaves the others alone."""
    screen = DocumentScreen([CollectionSettings(name="hr", personal_data="redact")])
    (kept,) = asyncio.run(screen("acme", "wiki", [LETTER]))
    (replaced,) = asyncio.run(screen("acme", "hr", [LETTER]))
    assert (kept.text, replaced.text) == (LETTER.text, "Write to [EMAIL].")
