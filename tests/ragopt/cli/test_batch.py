"""`ragopt batch`: a file of questions in, a file of results out, and the same again for nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from ragopt.cli.batch import Job, Place, fields_of, read_questions, write_results
from ragopt.config import Settings
from ragopt.errors import InvalidRequest
from ragopt.state.batch_records import BatchResult
from tests.ragopt.api.fakes import KEY, Served, answer, served


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    """Yield a served stand-in service."""
    with served() as running:
        yield running


@pytest.fixture
def place(http: Served) -> Place:
    """Return where a service that is as new is."""
    http.service.reset()
    return Place(http.url, Settings(api_key=SecretStr(KEY)))


def test_questions_are_read_with_a_name_each(tmp_path: Path) -> None:
    """A line without a custom_id is called by its number; blank lines are none."""
    file = tmp_path / "questions.jsonl"
    file.write_text('{"question": "A?"}\n\n{"question": "B?", "custom_id": "b", "model": "m"}\n', encoding="utf-8")
    assert read_questions(file) == [
        {"question": "A?", "custom_id": "1"},
        {"question": "B?", "custom_id": "b", "model": "m"},
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "holds no question"),
        ('{"question": "A?"}\n[1]\n', "q.jsonl:2: not a JSON object"),
        ("{", "q.jsonl:1: not a JSON object in UTF-8"),
        ('{"question": 3}', 'q.jsonl:1: not a JSON object with a "question"'),
        ('{"question": "A?", "custom_id": "2"}\n{"question": "B?"}\n', "q.jsonl:2: the custom_id '2' was used before"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, text: str, says: str) -> None:
    """Nothing is sent of a file with a line that is no question."""
    file = tmp_path / "q.jsonl"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidRequest, match="^.*" + says.replace("[", r"\[")):
        read_questions(file)


def test_the_same_command_goes_on_with_the_same_batches(http: Served, place: Place) -> None:
    """More questions than a batch holds become several; sent again, they are the same ones, unless asked again."""
    questions = [{"question": f"Question {n}?", "custom_id": str(n)} for n in range(5)]
    job = Job(place, questions, ({"collection": "default"}, ""))
    ids = job.submitted(size=2)
    assert (len(ids), job.submitted(size=2)) == (3, ids)
    assert [len(http.service.batches.store.items[name]) for name in ids] == [2, 2, 1]
    assert set(Job(place, questions, ({"collection": "default"}, "salt")).submitted(size=2)).isdisjoint(ids)


def test_results_replace_the_file_once_they_are_whole(http: Served, place: Place, tmp_path: Path) -> None:
    """Every batch's lines, in order, as the service tells them."""
    ids = Job(place, [{"question": "A?", "custom_id": "a"}], ({}, "")).submitted(size=9)
    store = http.service.batches.store
    store.done[ids[0]] = [BatchResult("a", answer(store.items[ids[0]][0].question), "batch")]
    store.batches[ids[0]] = replace(store.batches[ids[0]], state="done", ended_at=1.0, counts={"batch": 1})
    (batch,) = Job(place, [fields_of(b'{"question": "A?"}', place="x")], ({}, "")).waited(ids)
    assert batch["status"] == "done"
    out = tmp_path / "results.jsonl"
    write_results(out, place, ids)
    (line,) = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert (line["custom_id"], line["response"]["answer"][:11]) == ("a", "The sky is ")
    assert list(tmp_path.iterdir()) == [out]
