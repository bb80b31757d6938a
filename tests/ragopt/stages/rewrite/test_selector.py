"""The models of a follow-up and their file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ragopt.domain import Turn
from ragopt.errors import ConfigError
from ragopt.stages.rewrite.selector import SHIPPED_FILE, model_from_json, model_to_json, shipped_model, trained_sets

HISTORY = (Turn("user", "Who was Frank Zappa?"), Turn("assistant", "A musician."))


def test_the_file_that_ships_is_read_and_written_alike() -> None:
    """What is loaded, written and loaded again reads a question as before, and is small."""
    model = shipped_model()
    again = model_from_json(model_to_json(model, trained_on=trained_sets()).encode())
    ours, theirs = model.read("When was he born?", HISTORY), again.read("When was he born?", HISTORY)
    assert ours.leaning == pytest.approx(theirs.leaning, abs=1e-3)
    assert np.allclose(ours.chances, theirs.chances, atol=1e-3)
    assert SHIPPED_FILE.stat().st_size < 200_000
    assert set(trained_sets()) == {"canard", "mtrag_rewrite"}


def test_candidates_are_weighed_only_where_a_question_leans() -> None:
    """What stands alone costs no more than its own words."""
    reading = shipped_model().read("Who is the chancellor of Germany?", HISTORY, from_leaning=0.99)
    assert (reading.candidates, reading.chances) == ((), ())


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"gate": 1}', json.dumps({"gate": {}, "selector": {}}).encode()])
def test_another_file_is_refused(data: bytes) -> None:
    """With the setting's error, not a trace."""
    with pytest.raises(ConfigError, match="not a follow-up model"):
        model_from_json(data)
