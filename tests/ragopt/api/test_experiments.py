"""Live experiments over HTTP: who gets which variant, and GET /experiments."""

from __future__ import annotations

from ragopt.api.experiments import ExperimentsResponse
from ragopt.experiments.judging import LossSums
from ragopt.settings.experiments import ExperimentSettings
from tests.ragopt.api.fakes import QUERY_KEY, Served

EXPERIMENT = ExperimentSettings.model_validate(
    {
        "name": "e",
        "variants": [{"name": "control", "share": 1}, {"name": "short", "share": 1, "context_tokens": 400}],
    }
)
QUESTION = {"question": "Is the sky blue?"}


def test_answers_tell_their_variant_and_are_added_up(http: Served) -> None:
    """A conversation keeps its variant, whose knobs reach the pipeline; each answer is seen once."""
    http.service.experiments.settings = (EXPERIMENT,)
    seen: dict[str, set[str]] = {}
    for n in range(12):
        for _ in range(2):
            content = http.post("/answer", {**QUESTION, "conversation_id": f"c{n}"}).json()
            seen.setdefault(f"c{n}", set()).add(content["variant"])
    assert all(len(variants) == 1 for variants in seen.values())
    assert set.union(*seen.values()) == {"e/control", "e/short"}
    budgets = {(asked.variant, asked.knobs.context_tokens) for asked in http.service.pipeline.asked}
    assert budgets == {("e/control", http.service.settings.context_tokens), ("e/short", 400)}
    assert len(http.service.experiments.seen) == 24
    assert {"cost_usd", "latency_ms", "unsupported"} <= http.service.experiments.seen[0][3].keys()


def test_without_an_experiment_an_answer_has_no_variant(http: Served) -> None:
    """The field is there, and null."""
    assert http.post("/answer", QUESTION).json()["variant"] is None
    assert http.service.experiments.seen == []


def test_experiments_are_told_with_their_bounds(http: Served) -> None:
    """The control has no verdict; a stopped variant says so whatever its goal does. It needs the scope admin."""
    http.service.experiments.settings = (EXPERIMENT,)
    http.service.experiments.added["e", "control"] = {"cost_usd": LossSums(500, 500.0, 520.0)}
    http.service.experiments.added["e", "short"] = {"cost_usd": LossSums(500, 250.0, 140.0)}
    content = http.get("/experiments").json()
    ExperimentsResponse.model_validate(content, strict=False)
    control, short = content["experiments"][0]["variants"]
    assert (control["verdict"], short["verdict"], short["stopped"]) == (None, "better", False)
    assert short["losses"]["cost_usd"]["high"] < 0
    assert short["losses"]["disliked"]["low"] is None
    http.service.experiments.ended = frozenset({"e/short"})
    assert http.get("/experiments/e").json()["variants"][1]["verdict"] == "stopped"
    assert http.get("/experiments/other").status_code == 404
    assert http.get("/experiments", key=QUERY_KEY).status_code == 403
