"""Training examples in the providers' documented shapes, and questions that `eval tune` reads."""

from __future__ import annotations

import json
from pathlib import Path

from eval.tune.questions import read_questions
from indexes.records import Document
from ragopt.exports.writing import example, lines, question, shown_example, to_label
from ragopt.prompt import SYSTEM
from ragopt.settings.examples import Example
from ragopt.state.kept import KeptPassage
from tests.ragopt.exports.kept_answers import KEPT, kept


def test_an_example_for_openai_has_system_user_and_assistant() -> None:
    """The prompt is that of a first question: rules alone before it, then fenced passages and the question."""
    made = example(KEPT, "openai")
    assert list(made) == ["messages"]
    messages = json.loads(lines([made]))["messages"]
    assert [message["role"] for message in messages] == ["system", "user", "assistant"]
    assert messages[0]["content"] == SYSTEM
    assert messages[1]["content"].endswith("Question: When do unused days lapse?")
    assert ' n="1" title="Leave">\nUnused days' in messages[1]["content"]
    assert messages[2]["content"] == KEPT.answer


def test_an_example_for_anthropic_has_its_system_text_apart() -> None:
    """User and assistant take turns, and the last word is the assistant's."""
    made = json.loads(lines([example(KEPT, "anthropic")]))
    assert list(made) == ["system", "messages"]
    assert made["system"] == SYSTEM
    assert [message["role"] for message in made["messages"]] == ["user", "assistant"]


def test_a_question_is_read_by_the_tuner(tmp_path: Path) -> None:
    """Its quote is found in the document, whatever line breaks the quote had; without a quote there is no question."""
    path = tmp_path / "questions.jsonl"
    path.write_text(lines([question(KEPT) or {}]), encoding="utf-8")
    document = Document("leave.md", "Leave. Unused days\nlapse in March. Ask.", "Leave", {})
    read = read_questions(path, name="corpus", documents=[document])
    assert [query.text for query in read.queries] == [KEPT.question]
    assert read.references["q1"][0].start == 7
    assert question(kept(quotes=())) is None


def test_a_disliked_answer_waits_for_a_person_with_what_is_known(tmp_path: Path) -> None:
    """Once its document is filled in the line is a question; the comment lost its personal data."""
    row = to_label(KEPT, "ask ann@example.org")
    assert row["note"] == "answered: They lapse in March [1].; from leave.md; the caller: ask [EMAIL]"
    path = tmp_path / "labelled.jsonl"
    path.write_text(lines([{**row, "documents": ["leave.md"]}]), encoding="utf-8")
    document = Document("leave.md", "Unused days lapse in April.", "Leave", {})
    assert read_questions(path, name="corpus", documents=[document]).qrels["q1"] == {"leave.md": 1}


def test_a_shown_example_has_the_cited_passages_alone() -> None:
    """They are numbered anew in the order in which the answer cites them; a marker of none of them goes."""
    passages = tuple(KeptPassage(n, "d", 1, "", f"Passage\n{n}.") for n in (1, 2, 3))
    row = shown_example(kept(passages=passages, answer="Both say so [3][1]. One more [9]."))
    assert row == {
        "question": KEPT.question,
        "passages": ["Passage 3.", "Passage 1."],
        "answer": "Both say so [1][2]. One more.",
    }
    assert Example.model_validate(row).answer == row["answer"]
    assert shown_example(kept(answer="No marker.")) is None
