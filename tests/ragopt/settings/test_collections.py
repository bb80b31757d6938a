"""Policies of collections."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragopt.config import load_settings
from ragopt.errors import ConfigError
from ragopt.settings.collections import CollectionSettings, Unsupported, collection_settings
from tests.environment import environment

ENTRIES = (
    CollectionSettings(unsupported="drop"),
    CollectionSettings(tenant="acme", unsupported="abstain"),
    CollectionSettings(name="hr", unsupported="correct"),
    CollectionSettings(name="hr", tenant="acme", unsupported="escalate"),
    CollectionSettings(name="legal"),
)


@pytest.mark.parametrize(
    ("tenant", "collection", "policy"),
    [
        ("acme", "hr", "escalate"),
        ("other", "hr", "correct"),
        ("acme", "wiki", "abstain"),
        ("other", "wiki", "drop"),
    ],
)
def test_the_most_specific_entry_decides(tenant: str, collection: str, policy: Unsupported) -> None:
    """Name and tenant beat the name, the name beats the tenant, the tenant beats neither; the order does not matter."""
    for entries in (ENTRIES, ENTRIES[::-1]):
        assert collection_settings(entries, tenant=tenant, collection=collection).unsupported == policy


def test_an_entry_keeps_what_it_does_not_set() -> None:
    """A policy that the most specific entry leaves out is that of the next one, and without entries the default."""
    assert collection_settings(ENTRIES, tenant="other", collection="legal").unsupported == "drop"
    assert collection_settings((), tenant="other", collection="legal").unsupported == "flag"


def test_an_entry_in_the_file_twice_stops_the_start(tmp_path: Path) -> None:
    """Two entries for one place would hide one of them."""
    (tmp_path / "ragopt.toml").write_text('[[collections]]\nname = "hr"\n' * 2, encoding="utf-8")
    with (
        environment(RAGOPT_CONFIG=str(tmp_path / "ragopt.toml")),
        pytest.raises(ConfigError, match="hr of \\* is there twice"),
    ):
        load_settings()
