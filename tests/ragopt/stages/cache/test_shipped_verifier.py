"""The verifier that ships is whole, small enough, what its card says, and tells plain cases apart."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from indexes.model import file_sha256
from ragopt.stages.cache.verifier import SHIPPED, Verifier

ASKED = "How can I reset my password?"
SAME = ["What is the way to reset my password?", "how do i reset my password"]
OTHER = ["How can I change my e-mail address?", "Why was my password rejected?", "How do I delete my account?"]


@pytest.fixture(scope="module")
def verifier(tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    """Return the verifier that ships."""
    return Verifier.load(cache_folder=tmp_path_factory.mktemp("cache"))


def test_it_is_what_the_card_says() -> None:
    """The card names the checksums of both files, and the folder is at most 25 MB."""
    card = (SHIPPED.parent / "README.md").read_text(encoding="utf-8")
    for name in ("model.bin", "model.xml"):
        assert file_sha256(SHIPPED / name) in card
    assert sum(path.stat().st_size for path in Path(SHIPPED).iterdir()) < 25_000_000


def test_plain_cases_are_told_apart(verifier: Verifier) -> None:
    """Every rewording scores above every other question; another year, unit or direction scores nothing."""

    async def scored() -> None:
        scores = await verifier.scores(ASKED, [*SAME, *OTHER])
        assert min(scores[:2]) > max(scores[2:]) + 0.2
        forbidden = [("Who won in 2018?", "Who won in 2019?"), ("Is 5 km far?", "Is 6 km far?")]
        forbidden.append(("What is the highest rate?", "What is the lowest rate?"))
        assert [(await verifier.scores(asked, [kept]))[0] for asked, kept in forbidden] == [0.0] * 3
        await verifier.close()

    asyncio.run(scored())
