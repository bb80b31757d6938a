"""Segments of knobs.toml: which collection gets which knobs, what is stronger, and every mistake named."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragopt.config import Settings, load_settings
from ragopt.domain import QueryKnobs
from ragopt.errors import ConfigError
from tests.environment import environment
from tests.ragopt.cli.running import ragopt

KNOBS = """
[profiles.balanced]
context_tokens = 400
top_k = 20

[profiles.balanced.segments.hr]
context_tokens = 90
relevance_floor = 0

[profiles.balanced.segments."it & ops"]

[profiles.cost]
context_tokens = 200

[profiles.cost.segments.hr]
top_k = 7
"""
PEOPLE = """
[[collections]]
name = "people"
segment = "hr"
"""
CONFIG = f"""{PEOPLE}
[[collections]]
name = "people"
tenant = "acme"
segment = ""

[[collections]]
name = "tickets"
segment = "it & ops"
"""


def settings_in(folder: Path, config: str = CONFIG, *, knobs: str = KNOBS, **variables: str) -> Settings:
    """Return what these two files say, and these variables."""
    (folder / "knobs.toml").write_text(knobs, encoding="utf-8")
    (folder / "ragopt.toml").write_text(config, encoding="utf-8")
    named = {"RAGOPT_CONFIG": str(folder / "ragopt.toml"), "RAGOPT_KNOBS_FILE": str(folder / "knobs.toml")}
    with environment(**named, **variables):
        return load_settings()


def knobs_of(settings: Settings, collection: str, tenant: str = "t") -> QueryKnobs:
    """Return the knobs of a question to the collection."""
    return settings.knobs_of(tenant=tenant, collection=collection)


def test_a_collection_gets_the_knobs_of_the_segment_that_it_names(tmp_path: Path) -> None:
    """Its own over the profile's; no other collection gets them, one called as the segment is included."""
    settings = settings_in(tmp_path)
    people = knobs_of(settings, "people")
    assert (people.context_tokens, people.top_k, people.relevance_floor) == (90, 20, 0.0)
    assert type(people.relevance_floor) is float
    for other in ("hr", "default", "tickets"):
        assert knobs_of(settings, other) == settings.knobs()
    assert settings.knobs().context_tokens == 400


def test_the_most_specific_entry_names_the_segment(tmp_path: Path) -> None:
    """An entry with an empty segment takes back what a wider one names."""
    settings = settings_in(tmp_path)
    assert knobs_of(settings, "people", tenant="acme") == settings.knobs()
    everywhere = settings_in(tmp_path, '[[collections]]\nsegment = "hr"\n')
    assert knobs_of(everywhere, "anything").context_tokens == 90


def test_a_segment_is_that_of_the_profile(tmp_path: Path) -> None:
    """Another profile, other knobs of the same segment."""
    cost = settings_in(tmp_path, PEOPLE, RAGOPT_PROFILE="cost")
    assert (knobs_of(cost, "people").context_tokens, knobs_of(cost, "people").top_k) == (200, 7)


def test_what_environment_or_file_say_of_every_question_beats_a_segment(tmp_path: Path) -> None:
    """A knob that either sets is left out of each segment, the same value as the profile's included."""
    by_variable = settings_in(tmp_path, RAGOPT_CONTEXT_TOKENS="400")
    by_file = settings_in(tmp_path, "context_tokens = 500\n" + CONFIG)
    assert (knobs_of(by_variable, "people").context_tokens, knobs_of(by_variable, "people").relevance_floor) == (400, 0)
    assert (knobs_of(by_file, "people").context_tokens, knobs_of(by_file, "people").relevance_floor) == (500, 0)


@pytest.mark.parametrize(
    ("segment", "said"),
    [
        ("[profiles.balanced.segments.hr]\ntopk = 5", r"knobs.toml: profiles.balanced.segments.hr.topk: no such knob"),
        ("[profiles.balanced.segments.hr]\nport = 5", "segments.hr.port: no such knob; known are context_tokens"),
        ("[profiles.balanced.segments.hr.cache]\nsemantic = false", "segments.hr.cache: no such knob"),
        ("[profiles.balanced.segments.hr]\nsegments = 5", "segments.hr.segments: no such knob"),
        ("[profiles.balanced.segments.hr]\ntop_k = 0", "segments.hr.top_k: Input should be greater"),
        ("[profiles.balanced.segments.hr]\nchunk_tokens = 60", "segments.hr.chunk_tokens: it shapes the index"),
        ("[profiles.balanced.segments]\nhr = 5", "knobs.toml: profiles.balanced.segments.hr: must be a table"),
        ("[profiles.balanced]\nsegments = 5", "knobs.toml: profiles.balanced.segments: must be a table"),
    ],
)
def test_a_mistake_in_a_segment_is_named_with_its_file_and_field(tmp_path: Path, segment: str, said: str) -> None:
    """Whether a collection names the segment or not, the message leads to the line to change."""
    with pytest.raises(ConfigError, match=said):
        settings_in(tmp_path, "", knobs=segment)


def test_a_segment_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    """The message names the field, the file and what it has; without a file it asks for one."""
    unknown = CONFIG.replace("it & ops", "it")
    said = "RAGOPT_COLLECTIONS__2__SEGMENT: profile balanced of .*knobs.toml has no segment 'it'; it has hr, it & ops"
    with pytest.raises(ConfigError, match=said):
        settings_in(tmp_path, unknown)
    with pytest.raises(ConfigError, match="profile cost of .* has no segment 'it & ops'; it has hr"):
        settings_in(tmp_path, RAGOPT_PROFILE="cost")
    with (
        environment(RAGOPT_CONFIG=str(tmp_path / "ragopt.toml")),
        pytest.raises(ConfigError, match="RAGOPT_COLLECTIONS__0__SEGMENT: set RAGOPT_KNOBS_FILE too"),
    ):
        load_settings()


def test_only_the_knobs_file_sets_segments(tmp_path: Path) -> None:
    """Neither a variable nor ragopt.toml does."""
    for config, variables in (("[segments.hr]\ntop_k = 5", {}), ("", {"RAGOPT_SEGMENTS__HR__TOP_K": "5"})):
        with pytest.raises(ConfigError, match="RAGOPT_SEGMENTS: only"):
            settings_in(tmp_path, config, **variables)


def test_config_check_shows_segments_and_what_overrides_them(tmp_path: Path) -> None:
    """As they are in effect, with their file and profile, and what the file says where that differs."""
    settings_in(tmp_path)
    files = {"RAGOPT_KNOBS_FILE": str(tmp_path / "knobs.toml")}
    shown = [
        ragopt("config", "check", cwd=tmp_path, **files, **more).stdout for more in ({}, {"RAGOPT_CONTEXT_TOKENS": "5"})
    ]
    as_written = '{"hr": {"context_tokens": 90, "relevance_floor": 0.0}, "it & ops": {}}'
    where = f"{tmp_path / 'knobs.toml'}, profile balanced"
    assert f"\nsegments = {as_written}  # from {where}\n" in shown[0]
    overridden = '{"hr": {"relevance_floor": 0.0}, "it & ops": {}}'
    assert f"\nsegments = {overridden}  # overrides {as_written} of {where}\n" in shown[1]
    assert '"segment": "hr"' in shown[0]
