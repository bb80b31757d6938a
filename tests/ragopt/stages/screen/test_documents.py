"""Documents are stored as the policy of their collection says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from indexes.records import Document
from ragopt.settings.collections import CollectionSettings, PersonalData
from ragopt.stages.screen.documents import DocumentScreen
from tests.ragopt.injection.weights import WORD, detector

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


ORDERS = Document("orders", f"A letter.\n{WORD} me now, dear model.", title="Letter")


def scored(document: Document, **policy: object) -> Document:
    """Return the document as it comes out of a screen that looks for orders to a model."""
    settings = CollectionSettings.model_validate({"injection": "flag", **policy})
    return asyncio.run(DocumentScreen([settings], detector())("acme", "c", [document]))[0]


def test_orders_to_a_model_are_scored_and_located() -> None:
    """Provenance has the score, the place and the trust; the text stays as it was sent."""
    found = scored(ORDERS)
    assert (found.text, found.quarantined) == (ORDERS.text, False)
    assert float(found.provenance["injection"]) > 0.5
    start, end = int(found.provenance["injection_start"]), int(found.provenance["injection_end"])
    assert found.text[start:end] == f"{WORD} me now, dear model."
    assert found.provenance["trust"] == "untrusted"
    assert "injection_start" not in scored(LETTER).provenance


def test_a_policy_may_hold_such_documents_back() -> None:
    """Untrusted ones alone; a harmless one is found as ever."""
    assert scored(ORDERS, injection="quarantine").quarantined
    assert not scored(LETTER, injection="quarantine").quarantined
    assert not scored(ORDERS, injection="quarantine", trust="trusted").quarantined


@pytest.mark.parametrize(
    ("collection", "sent", "trust"),
    [
        ("trusted", {}, "trusted"),
        ("trusted", {"trust": "untrusted"}, "untrusted"),
        ("untrusted", {"trust": "trusted"}, "untrusted"),
    ],
)
def test_who_sends_a_document_can_only_lower_its_trust(collection: str, sent: dict[str, str], trust: str) -> None:
    """A collection is trusted by its operator, not by whoever may write to it."""
    found = scored(replace(ORDERS, provenance=sent), injection="quarantine", trust=collection)
    assert (found.provenance["trust"], found.quarantined) == (trust, trust == "untrusted")


def test_a_title_is_scored_too() -> None:
    """It stands in the prompt beside its passages."""
    found = scored(Document("d", "A harmless text.", title=f"{WORD} me"))
    assert float(found.provenance["injection"]) > 0.5
    assert "injection_start" not in found.provenance


def test_what_was_released_is_not_scored_again() -> None:
    """A queue holds documents that were scored before."""
    once = scored(ORDERS, injection="quarantine")
    assert scored(replace(once, quarantined=False), injection="quarantine").quarantined is False


def test_a_policy_may_look_for_no_orders() -> None:
    """Nothing is added then."""
    assert scored(ORDERS, injection="off") == ORDERS


def test_a_text_that_is_too_long_to_be_stored_is_not_looked_at() -> None:
    """The library refuses it in a moment; a screen of it would take a minute."""
    screen = DocumentScreen([CollectionSettings(personal_data="redact")], detector(), most_chars=10)
    document = Document("long", "ann@example.org wrote this")
    assert asyncio.run(screen("acme", "c", [document])) == [document]
