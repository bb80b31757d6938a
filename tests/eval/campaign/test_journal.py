"""What the clients of the campaign recognise as wrong."""

from __future__ import annotations

import pytest

from eval.campaign.journal import Fate, Faults, Journal, check_passages, text_of


def passage(edition: int, *, name: str = "doc-01", version: int = 1, chunk: str = "a") -> dict[str, object]:
    """Return a passage of an edition, as the service sends it."""
    return {"document_id": name, "version": version, "chunk_id": chunk, "text": text_of("doc-01", edition)}


@pytest.mark.parametrize(
    ("passages", "kinds"),
    [
        ([passage(5)], set()),
        ([passage(7), passage(7, chunk="b")], set()),
        ([passage(4)], {"phantom"}),
        ([passage(5), passage(6, chunk="b")], {"mixed"}),
        ([passage(5), passage(5, chunk="b", version=2)], {"mixed"}),
        ([passage(5), passage(5)], {"duplicate"}),
        ([passage(5, name="doc-02")], {"mixed"}),
    ],
)
def test_wrong_passages_are_found_out(passages: list[dict[str, object]], kinds: set[str]) -> None:
    """Editions mixed in one response, older than acknowledged, doubled or under another name."""
    faults = Faults()
    check_passages(passages, {"doc-01": Fate(floor=5, deleted=False)}, faults)
    assert {kind for kind, count in faults.counts.items() if count} == kinds
    assert len(faults.examples) >= len(kinds)


def test_a_deleted_document_may_not_be_shown() -> None:
    """Once its deletion is acknowledged, only a later edition of it may come back."""
    faults = Faults()
    check_passages([passage(3)], {"doc-01": Fate(floor=5, deleted=True)}, faults)
    assert faults.counts["phantom"] == 1


def test_what_may_be_stored_follows_what_was_sent() -> None:
    """After a kill it is what was acknowledged or anything that was sent after it, and nothing else."""
    journal = Journal()
    journal.acknowledge(["a"], journal.send(["a"]))
    journal.send(["a"])
    fate = journal.snapshot()["a"]
    assert [fate.may_be(edition) for edition in (1, 2, 3, None)] == [True, True, False, False]
    journal.send(["a"], deletes=True)
    assert journal.snapshot()["a"].may_be(None)


@pytest.mark.parametrize(("left", "then"), [(2, [False, True, False]), (None, [False, False, True])])
def test_a_restart_settles_what_was_not_answered(left: int | None, then: list[bool]) -> None:
    """What a restart left is from then on what was promised."""
    journal = Journal()
    journal.acknowledge(["a"], journal.send(["a"]))
    journal.send(["a"])
    journal.send(["a"], deletes=True)
    journal.settle("a", left)
    fate = journal.snapshot()["a"]
    assert [fate.may_be(edition) for edition in (1, 2, None)] == then
