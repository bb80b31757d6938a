"""The questions to a collection with a segment, over every way to ask one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ragopt.config import load_settings
from ragopt.domain import QueryKnobs
from ragopt.settings.experiments import ExperimentSettings
from tests.environment import environment
from tests.ragopt.api.fakes import FakeService, Served, served

KNOBS = """
[profiles.balanced]
context_tokens = 400
top_k = 20

[profiles.balanced.segments.hr]
context_tokens = 90
redundancy = 0.3
"""
CONFIG = """
[[collections]]
name = "people"
segment = "hr"
"""
QUESTION = {"question": "Is the sky blue?"}
EXPERIMENT = ExperimentSettings.model_validate(
    {
        "name": "e",
        "variants": [
            {"name": "control", "share": 1e-9},
            {"name": "short", "share": 1, "context_tokens": 60},
        ],
    }
)


@pytest.fixture
def segmented(tmp_path: Path) -> Iterator[Served]:
    """A service whose collection `people` has the segment `hr`."""
    (tmp_path / "knobs.toml").write_text(KNOBS, encoding="utf-8")
    (tmp_path / "ragopt.toml").write_text(f'knobs_file = "{tmp_path / "knobs.toml"}"\n{CONFIG}', encoding="utf-8")
    with environment(RAGOPT_CONFIG=str(tmp_path / "ragopt.toml")):
        settings = load_settings()
    with served(FakeService(settings=settings)) as made:
        yield made


def asked_in(http: Served, collection: str, **fields: object) -> list[QueryKnobs]:
    """Return the knobs with which a question to the collection is asked by each endpoint."""
    asked = {"collection": collection, **fields}
    http.post("/context", {**QUESTION, **asked})
    http.post("/answer", {**QUESTION, **asked})
    message = {"role": "user", "content": QUESTION["question"]}
    http.post("/v1/chat/completions", {"model": "ragopt/auto", "messages": [message], "ragopt": asked})
    batch = http.post("/batch", {"requests": [{"custom_id": "a", **QUESTION, **asked}]}).json()
    kept = http.service.batches.store.items[batch["id"]]
    return [question.knobs for question in http.service.pipeline.asked] + [item.question.knobs for item in kept]


def test_every_endpoint_asks_with_the_segment_s_knobs(segmented: Served) -> None:
    """The four agree, and the collection of a batch counts as that of its questions."""
    usual = segmented.service.settings.knobs()
    assert asked_in(segmented, "people") == [replace(usual, context_tokens=90, redundancy=0.3)] * 4
    batch = segmented.post("/batch", {"requests": [{"custom_id": "a", **QUESTION}], "collection": "people"}).json()
    (item,) = segmented.service.batches.store.items[batch["id"]]
    assert item.question.knobs.context_tokens == 90


def test_a_collection_called_like_a_segment_is_asked_as_any_other(segmented: Served) -> None:
    """Only an entry of ragopt.toml gives a collection a segment."""
    assert asked_in(segmented, "hr") == [segmented.service.settings.knobs()] * 4


def test_a_request_s_own_fields_beat_the_segment(segmented: Served) -> None:
    """What it does not name stays the segment's."""
    usual = segmented.service.settings.knobs()
    expected = replace(usual, context_tokens=50, top_k=5, redundancy=0.3)
    assert asked_in(segmented, "people", token_budget=50, top_k=5) == [expected] * 4


def test_a_budget_is_named_where_it_is_larger_than_the_segment_s(segmented: Served) -> None:
    """More than the collection gives by itself, though less than the service does elsewhere."""
    for tokens in (91, 90):
        segmented.post("/context", {**QUESTION, "collection": "people", "token_budget": tokens})
    assert [question.budget_named for question in segmented.service.pipeline.asked] == [True, False]


def test_the_variant_of_an_experiment_beats_the_segment(segmented: Served) -> None:
    """Its knobs are laid over those that the collection has."""
    segmented.service.experiments.settings = (EXPERIMENT,)
    segmented.post("/answer", {**QUESTION, "collection": "people"})
    (question,) = segmented.service.pipeline.asked
    assert (question.variant, question.knobs.context_tokens, question.knobs.redundancy) == ("e/short", 60, 0.3)
