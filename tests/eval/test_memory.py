"""How much of what a question needs of a long conversation is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from eval.errors import DatasetError
from eval.memory import Held, MemoryJob, measure
from eval.memory_sets import read_memory_set
from ragopt.domain import Turn
from tests.eval.folders import lines

FACTS = ("My dentist is called Lang.", "We fly to Oslo on 3 May.", "The rent is 900 euros.", "I never eat fish.")
ASKED = ("Who is the dentist?", "When do we fly to Oslo?", "How much is the rent?", "What do I never eat?")


def written(folder: Path, *, evidence: bool = True) -> Path:
    """Return a folder with one conversation of forty turns, four of them facts that are asked for."""
    said = [FACTS[at // 10] if at % 10 == 4 else f"Chatter number {at} about the weather." for at in range(40)]
    turns = [{"id": f"t{at}", "speaker": "Ann" if at % 2 == 0 else "Bo", "text": text} for at, text in enumerate(said)]
    sessions = [{"turns": turns[:20]}, {"turns": [{**turns[20], "image_caption": "a cloud"}, *turns[21:]]}]
    lines(folder / "conversations.jsonl", [{"id": "c", "sessions": sessions}])
    lines(
        folder / "qa.jsonl",
        (
            {
                "id": f"q{at}",
                "conversation": "c",
                "question": text,
                **({"evidence": [f"t{10 * at + 4}", "gone"], "category": at % 2} if evidence else {}),
            }
            for at, text in enumerate(ASKED)
        ),
    )
    return folder


def test_turns_that_are_asked_for_are_found_where_truncation_loses_them(tmp_path: Path) -> None:
    """At a quarter of the tokens the evidence is held, within the budget, and ids of no turn are counted."""
    report = asyncio.run(measure(written(tmp_path), MemoryJob()))
    assert (report.n, report.failures, report.config["unknown_evidence"]) == (4, (), 4)
    assert report.metrics["evidence_recall@quarter.ragopt"].value == 1
    assert report.metrics["evidence_recall@quarter.truncation"].value == 0.25
    assert report.metrics["tokens@quarter.ragopt"].value <= 0.25
    assert set(report.segments) == {"category 0", "category 1"}


def test_without_evidence_the_words_of_the_question_stand_in(tmp_path: Path) -> None:
    """A set that names no evidence is measured by the question's words."""
    report = asyncio.run(measure(written(tmp_path, evidence=False), MemoryJob(limit=2)))
    assert report.n == 2
    assert report.metrics["term_recall@quarter.bm25"].value == 1


def test_a_turn_is_held_word_for_word_or_in_one_line() -> None:
    """Four fifths of its content words in a single line are enough, spread over two they are not."""
    turn = Turn("user", "Anna moved to Graz in 2019")
    assert Held([turn]).has(turn)
    assert Held([], ["- user: Anna moved to Graz in 2019."]).has(turn)
    assert not Held([], ["- user: Anna moved.", "- user: Graz 2019"]).has(turn)


def test_speakers_and_pictures(tmp_path: Path) -> None:
    """The first to speak is the user; names and captions are part of what is said."""
    turns = [said.turn for said in read_memory_set(written(tmp_path)).conversations["c"]]
    assert turns[1] == Turn("assistant", "Bo: Chatter number 1 about the weather.")
    assert turns[20] == Turn("user", "Ann: Chatter number 20 about the weather. (shows a cloud)")


def test_what_is_wrong_with_a_set_is_said(tmp_path: Path) -> None:
    """A question of no conversation, and a folder without questions, are named."""
    folder = written(tmp_path)
    lines(folder / "qa.jsonl", [{"id": "q", "conversation": "d", "question": "?"}])
    with pytest.raises(DatasetError, match="no conversation 'd'"):
        read_memory_set(folder)
    (folder / "qa.jsonl").unlink()
    with pytest.raises(DatasetError, match="no qa.jsonl or questions.jsonl"):
        read_memory_set(folder)
