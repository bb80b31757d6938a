"""Which reranker: what is named, else what this machine already has."""

from __future__ import annotations

from pathlib import Path

from indexes.endpoint import is_served
from ragopt.config import hub_cache_dir
from ragopt.stages.rerank.choice import LATE_INTERACTION, chosen_model
from tests.cross_encoders import cached_by_hub
from tests.environment import environment


def test_what_is_named_is_taken(tmp_path: Path, cross_encoder: Path) -> None:
    """A path, an id, an address, or `late-interaction`, whatever the machine has."""
    cached_by_hub(tmp_path, cross_encoder)
    for named in ("some/model", "http://127.0.0.1:8080", LATE_INTERACTION):
        assert chosen_model(named, tmp_path) == named


def test_a_model_of_the_hubs_cache_is_used_where_none_is_named(tmp_path: Path, cross_encoder: Path) -> None:
    """Once it is whole there; before that, and without any cache, late interaction is alone."""
    assert chosen_model("", tmp_path / "nowhere") == LATE_INTERACTION
    (tmp_path / "models--cross-encoder--ms-marco-MiniLM-L6-v2").mkdir()
    assert chosen_model("", tmp_path) == LATE_INTERACTION
    (tmp_path / "models--cross-encoder--ms-marco-MiniLM-L6-v2").rmdir()
    snapshot = cached_by_hub(tmp_path, cross_encoder)
    assert chosen_model("", tmp_path) == str(snapshot)
    (snapshot / "model.safetensors").unlink()
    assert chosen_model("", tmp_path) == LATE_INTERACTION


def test_only_an_address_is_served() -> None:
    """A hub id and a folder are loaded here."""
    assert is_served("http://host:1")
    assert is_served("https://host/rerank")
    assert not is_served("cross-encoder/ms-marco-MiniLM-L6-v2")
    assert not is_served("/models/http")


def test_the_hubs_cache_is_where_its_library_looks(tmp_path: Path) -> None:
    """`HF_HUB_CACHE`, else `HF_HOME`, else the user's cache folder."""
    with environment(HF_HUB_CACHE="/a", HF_HOME="/b", XDG_CACHE_HOME="/c"):
        assert hub_cache_dir() == Path("/a")
    with environment(HF_HUB_CACHE="", HF_HOME="/b", XDG_CACHE_HOME="/c"):
        assert hub_cache_dir() == Path("/b/hub")
    with environment(HF_HUB_CACHE="", HF_HOME="", XDG_CACHE_HOME="/c"):
        assert hub_cache_dir() == Path("/c/huggingface/hub")
