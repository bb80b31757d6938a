"""Settings named for a measurement: what replaces what, and what is refused in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval.cli.arguments import assignments
from eval.configuration import config_of, configured, index_digest, overrides_of
from eval.errors import ConfigurationError
from tests.environment import environment


def test_a_named_setting_wins_over_the_environment(tmp_path: Path) -> None:
    """What is named replaces the environment's value; what is not named stays, and a server is never used."""
    with environment(RAGOPT_TOP_K="30", RAGOPT_CHUNK_TOKENS="80", RAGOPT_QDRANT_URL="http://127.0.0.1:1"):
        settings = configured(tmp_path, {"top_k": "7"})
    assert (settings.top_k, settings.chunk_tokens, settings.data_dir, settings.qdrant_url) == (7, 80, tmp_path, None)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("top_kk=3", "top_kk: no such setting"),
        ("data_dir=x", "data_dir: the evaluation uses an index of its own"),
        ("top_k=3,top_k=4", "top_k: given twice"),
    ],
)
def test_a_name_that_cannot_be_set_is_refused(typed: str, said: str) -> None:
    """An unknown name, one the evaluation decides itself, and one given twice are each named."""
    with pytest.raises(ConfigurationError, match=said):
        overrides_of(assignments(typed))


def test_every_wrong_value_is_named(tmp_path: Path) -> None:
    """Each wrong value stands in the message as it was typed."""
    with environment(), pytest.raises(ConfigurationError, match=r"top_k=0: .*; chunk_tokens=wide: .*"):
        configured(tmp_path, {"top_k": "0", "chunk_tokens": "wide"})


def test_what_shapes_an_index_tells_indexes_apart(tmp_path: Path) -> None:
    """Another chunk size is another index, another number of hits is not."""
    with environment():
        plain, hits, chunks = (
            index_digest(configured(tmp_path, overrides)) for overrides in ({}, {"top_k": "9"}, {"chunk_tokens": "60"})
        )
    assert plain == hits != chunks


def test_a_report_says_what_was_named(tmp_path: Path) -> None:
    """The configuration of a report holds the knobs, what shaped the index, and what was named; never a secret."""
    overrides = {"port": "9", "api_key": "hush"}
    with environment():
        config = config_of(configured(tmp_path, overrides), overrides)
    assert config["port"] == 9
    assert {"chunk_tokens", "embedding_model", "top_k"} <= set(config)
    assert "context_tokens" not in config
    assert "hush" not in str(config)
