"""The space: what is searched with which settings, and the candidates it spans."""

from __future__ import annotations

from pathlib import Path

from eval.tune.space import SPACE, Candidate, Dimension, candidate_of, space_for, values
from ragopt.config import Settings, load_settings
from ragopt.stages.rerank.choice import LATE_INTERACTION
from tests.cross_encoders import cached_by_hub
from tests.environment import environment
from tests.eval.tune.rows import space


def settings(**variables: str) -> Settings:
    with environment(**variables):
        return load_settings(data_dir=Path("unused"))


FUSION = Dimension("fusion", "search", values("top_k", 5, 50), judged_only=True)
BUDGET = Dimension("token budget", "pack", values("context_tokens", 200, 800))


def test_the_table_holds_knobs_of_this_version_only_where_they_are_there() -> None:
    """Chunk size, candidates and budget are searched with any settings; what has no setting is skipped."""
    names = {item.name for item in space_for(settings(), derived=False).dimensions}
    assert {"chunk size", "candidates", "token budget"} <= names
    unknown = Dimension("novel", "search", values("no_such_knob", 1, 2))
    assert space_for(settings(), derived=False, table=(unknown, BUDGET)).dimensions == (BUDGET,)


def test_a_setting_that_no_request_may_change_is_not_searched() -> None:
    """`port` is a setting but no knob."""
    assert (
        space_for(settings(), derived=False, table=(Dimension("port", "search", values("port", 1)),)).dimensions == ()
    )


def test_what_favours_bm25_is_not_tuned_on_derived_questions() -> None:
    """The same table without the judged dimension; fusion is marked so in the table itself."""
    assert space_for(settings(), derived=True, table=(FUSION, BUDGET)).dimensions == (BUDGET,)
    assert space_for(settings(), derived=False, table=(FUSION, BUDGET)).dimensions == (FUSION, BUDGET)
    assert [item.name for item in SPACE if {"fusion", "dense_weight"} & set(item.knobs())] == ["fusion"]
    assert all(item.judged_only for item in SPACE if item.name == "fusion")


def test_a_dimension_that_needs_a_model_is_skipped_without_one() -> None:
    """`needs` names a setting; unset, empty or unknown, the dimension has no effect and is left out."""
    unset = Dimension("budget", "pack", values("context_tokens", 200), needs="qdrant_url")
    unknown = Dimension("budget", "pack", values("context_tokens", 200), needs="no_such_setting")
    assert space_for(settings(), derived=False, table=(unset, unknown)).dimensions == ()
    chosen = space_for(settings(RAGOPT_QDRANT_URL="http://127.0.0.1:9"), derived=False, table=(unset,))
    assert [item.name for item in chosen.dimensions] == ["budget"]


def test_rerank_depth_is_searched_with_the_cross_encoder_that_a_service_would_take(
    tmp_path: Path, cross_encoder: Path
) -> None:
    """A named one, or one of the hub's cache where none is named; never without one."""

    def searched(**variables: str) -> bool:
        with environment(HF_HUB_CACHE=str(tmp_path), **variables):
            found = space_for(load_settings(data_dir=Path("unused")), derived=False).dimensions
        return "rerank depth" in {item.name for item in found}

    assert not searched()
    assert searched(RAGOPT_RERANK_MODEL="http://127.0.0.1:9")
    cached_by_hub(tmp_path, cross_encoder)
    assert searched()
    assert not searched(RAGOPT_RERANK_MODEL=LATE_INTERACTION)


def test_what_is_configured_is_always_a_choice_and_a_value_out_of_bounds_never() -> None:
    """A configured value that the table lacks is added; one the setting would refuse is dropped."""
    table = (Dimension("candidates", "search", values("top_k", 0, 20, 5_000)),)
    chosen = space_for(settings(RAGOPT_TOP_K="33"), derived=False, table=table)
    assert chosen.dimensions[0].choices == ({"top_k": 20}, {"top_k": 33})
    assert chosen.configured == candidate_of([{"top_k": 33}])


def test_candidates_are_every_combination_once() -> None:
    """2 chunk sizes, 2 candidates, 3 budgets: 12, the configured one among them."""
    found = space().candidates()
    assert len(found) == len(set(found)) == 12
    assert space().configured in found


def test_late_dimensions_start_at_their_first_choice_and_expand_leaders_only() -> None:
    """Two late choices double a leader, and nothing else."""
    late = Dimension("depth", "search", values("top_k", 10, 50), late=True)
    chosen = space(late, BUDGET, top_k=10)
    assert [item.number("top_k") for item in chosen.candidates()] == [10, 10]
    leader = chosen.candidates()[0]
    assert [item.number("top_k") for item in chosen.expanded([leader])] == [10, 50]


def test_a_candidate_becomes_settings_and_knobs() -> None:
    """Its values replace the configured ones; the rest stays."""
    item = Candidate((("chunk_tokens", 60), ("top_k", 20), ("context_tokens", 400)))
    configured = settings(RAGOPT_TOP_K="33")
    assert item.settings(configured).chunk_tokens == 60
    assert (item.knobs(configured).top_k, item.knobs(configured).context_tokens) == (20, 400)
    assert Candidate((("context_tokens", 400),)).knobs(configured).top_k == 33
    assert item.index() == Candidate((("chunk_tokens", 60),))
    assert item.query_values() == {"top_k": 20, "context_tokens": 400}
    assert item.label() == "chunk_tokens=60, top_k=20, context_tokens=400"
