"""knobs.toml: the weakest source of settings, every mistake named, and a service that really uses it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from indexes.records import Document
from ragopt.config import load_settings
from ragopt.domain import Question
from ragopt.errors import ConfigError
from ragopt.telemetry import Trace
from ragopt.wiring import open_library
from tests.environment import environment
from tests.ragopt.cli.running import ragopt

KNOBS = """
[source]
set = "handbook"

[index]
chunk_tokens = 60

[profiles.balanced]
context_tokens = 400
top_k = 20

[profiles.cost]
context_tokens = 30

[segments."it & ops"]
chunk_tokens = 100
"""


def written(folder: Path, text: str = KNOBS) -> str:
    path = folder / "knobs.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_profile_stands_in_for_the_defaults(tmp_path: Path) -> None:
    """Balanced unless another is named; what a profile leaves out keeps its default."""
    with environment(RAGOPT_KNOBS_FILE=written(tmp_path)):
        settings = load_settings()
    assert (settings.chunk_tokens, settings.context_tokens, settings.top_k) == (60, 400, 20)
    with environment(RAGOPT_KNOBS_FILE=written(tmp_path), RAGOPT_PROFILE="cost"):
        settings = load_settings()
    assert (settings.chunk_tokens, settings.context_tokens, settings.top_k) == (60, 30, 50)


def test_every_other_source_beats_a_profile(tmp_path: Path) -> None:
    """The environment and ragopt.toml win; the file and profile can be named in ragopt.toml as well."""
    config = tmp_path / "ragopt.toml"
    config.write_text(f'knobs_file = "{written(tmp_path)}"\nprofile = "cost"\ncontext_tokens = 500\n', encoding="utf-8")
    with environment(RAGOPT_CONFIG=str(config), RAGOPT_CHUNK_TOKENS="80"):
        settings = load_settings()
    assert (settings.profile, settings.chunk_tokens, settings.context_tokens) == ("cost", 80, 500)


@pytest.mark.parametrize(
    ("text", "profile", "said"),
    [
        (KNOBS, "latency", "RAGOPT_PROFILE: .*knobs.toml has no profile 'latency'; it has balanced, cost"),
        (KNOBS, "fast", "no profile 'fast'"),
        ("[profiles.balanced]\ntopk = 5", "balanced", "knobs.toml: profiles.balanced.topk: no such knob; known are"),
        ("[profiles.balanced]\nport = 5", "balanced", "profiles.balanced.port: no such knob"),
        ("[profiles.balanced]\ntop_k = 0", "balanced", "profiles.balanced.top_k: Input should be greater"),
        ('[profiles.balanced]\ntop_k = "many"', "balanced", "profiles.balanced.top_k: Input should be a valid integer"),
        ("[index]\ntop_k = 5\n[profiles.balanced]", "balanced", "index.top_k: no such knob; known are chunk_tokens"),
        ("[index]\nchunk_tokens = 5\n[profiles.balanced]", "balanced", "index.chunk_tokens: Input should be greater"),
        ("profiles = 5", "balanced", "knobs.toml: profiles: must be a table"),
        ("[profiles]\nbalanced = 5", "balanced", "knobs.toml: profiles.balanced: must be a table"),
        ("", "balanced", "has no profile 'balanced'; it has none"),
        ("[", "balanced", "RAGOPT_KNOBS_FILE: .*knobs.toml: "),
    ],
)
def test_a_mistake_is_named_with_its_file_and_field(tmp_path: Path, text: str, profile: str, said: str) -> None:
    """The message leads to the line to change."""
    variables = {"RAGOPT_KNOBS_FILE": written(tmp_path, text), "RAGOPT_PROFILE": profile}
    with environment(**variables), pytest.raises(ConfigError, match=said):
        load_settings()


def test_a_file_that_is_not_there_and_a_profile_without_a_file_are_named(tmp_path: Path) -> None:
    """Neither goes unseen."""
    gone = str(tmp_path / "gone.toml")
    with (
        environment(RAGOPT_KNOBS_FILE=gone),
        pytest.raises(ConfigError, match="RAGOPT_KNOBS_FILE: .*gone.toml: No such"),
    ):
        load_settings()
    with environment(RAGOPT_PROFILE="cost"), pytest.raises(ConfigError, match="RAGOPT_PROFILE: set RAGOPT_KNOBS_FILE"):
        load_settings()


def test_a_library_and_pipeline_built_with_a_profile_use_it(tmp_path: Path) -> None:
    """Chunks are of the tuned size, and a context without a budget of its own keeps to the tuned one."""
    text = " ".join(f"Rule {at} of the harbour is kept in drawer {at} by the warden of the pier." for at in range(40))

    async def run(data: str, **variables: str) -> tuple[int, int]:
        with environment(**variables):
            settings = load_settings(data_dir=tmp_path / data)
        async with open_library(settings) as (library, pipeline):
            (result,) = await library.ingest("t", "default", [Document("rules", text)])
            question = Question("Where is rule 7?", "t", knobs=settings.knobs())
            return result.chunks, (await pipeline.context_for(question, trace=Trace("r"))).tokens

    plain = asyncio.run(run("plain"))
    tuned = asyncio.run(run("tuned", RAGOPT_KNOBS_FILE=written(tmp_path), RAGOPT_PROFILE="cost"))
    assert tuned[0] > plain[0]
    assert 0 < tuned[1] <= 30 < plain[1]


def test_config_check_says_which_values_come_from_the_profile(tmp_path: Path) -> None:
    """A tuned value names its file and profile; one that is overridden says by how much it differs."""
    shown = ragopt("config", "check", cwd=tmp_path, RAGOPT_KNOBS_FILE=written(tmp_path), RAGOPT_TOP_K="33").stdout
    lines = dict(line.split(" = ", 1) for line in shown.splitlines() if " = " in line)
    assert lines["context_tokens"] == f"400  # from {tmp_path / 'knobs.toml'}, profile balanced"
    assert lines["top_k"] == f"33  # overrides 20 of {tmp_path / 'knobs.toml'}, profile balanced"
    assert lines["port"] == "8080"
