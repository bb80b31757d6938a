"""Routing in ragopt.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragopt.config import Settings, load_settings
from ragopt.errors import ConfigError
from tests.environment import environment

MODEL = '[[models]]\nname = "small"\nprovider = "extractive"\n'


def loaded(folder: Path, text: str) -> Settings:
    """Return the settings of a ragopt.toml."""
    (folder / "ragopt.toml").write_text(text, encoding="utf-8")
    with environment(RAGOPT_CONFIG=str(folder / "ragopt.toml")):
        return load_settings()


def test_rules_and_thresholds_are_read(tmp_path: Path) -> None:
    """A single text stands for a list of one; what is left out keeps its default."""
    text = f'{MODEL}[routing]\ncascade = false\n[[routes]]\nwhen = {{contains = "refund"}}\nmodel = "small"\n'
    settings = loaded(tmp_path, text)
    assert (settings.routing.cascade, settings.routing.medium_from, settings.routing.complex_from) == (False, 0.3, 0.7)
    assert settings.routes[0].when.contains == ("refund",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[routes]]\nmodel = "large"\n', "routes.1.model: no model is named 'large'"),
        ("[routing]\nmedium_from = 0.9\n", "medium_from must not be above complex_from"),
        ("[routing]\nmedium = 0.2\n", "ROUTING__MEDIUM"),
        ('[[routes]]\ntier = "simple"\nwhen = {matches = "("}\n', "not a regular expression"),
    ],
)
def test_a_wrong_rule_stops_the_start(tmp_path: Path, text: str, said: str) -> None:
    """The error names the setting."""
    with pytest.raises(ConfigError, match=said):
        loaded(tmp_path, text + MODEL)
