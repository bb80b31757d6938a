"""Settings: sources in order, every mistake named."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from ragopt.config import collector_address, configured_address, configured_key, load_settings
from ragopt.domain import QueryKnobs
from ragopt.errors import ConfigError
from ragopt.settings.models import ModelSettings
from tests.environment import environment

TOML = """
context_tokens = 400
top_k = 30

[[models]]
name = "small"
provider = "openai"
model = "gpt-x"
api_key_env = "MY_KEY"
price = { input = 0.15, cached_input = 0.075, output = 0.60 }

[[models]]
name = "strong"
provider = "anthropic"
model = "claude-x"
tier = "complex"
base_url = "http://127.0.0.1:9/v1"
"""


def written(folder: Path, text: str) -> str:
    path = folder / "ragopt.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_arguments_beat_the_environment_which_beats_the_file(tmp_path: Path) -> None:
    """Each source wins over the one below it, and what nobody sets has its default."""
    with environment(RAGOPT_CONFIG=written(tmp_path, TOML), RAGOPT_TOP_K="40", RAGOPT_PORT="1"):
        settings = load_settings(port=2)
    assert (settings.context_tokens, settings.top_k, settings.port) == (400, 40, 2)
    assert settings.data_dir == Path(".ragopt")
    assert settings.knobs().context_tokens == 400


def test_every_knob_is_a_setting() -> None:
    """What a request may change has a default in the settings, under the same name, and it is the knob's own."""
    with environment(RAGOPT_RERANK_DEPTH="7", RAGOPT_RERANK_DEADLINE_MS="80"):
        settings = load_settings()
    assert settings.knobs() == replace(QueryKnobs(), min_relevance=0.4, rerank_depth=7, rerank_deadline_ms=80)


def test_a_knob_has_bounds() -> None:
    """A value beyond them is refused by the name of its variable."""
    with environment(RAGOPT_FUSION="score", RAGOPT_DENSE_WEIGHT="0.7"):
        knobs = load_settings().knobs()
    assert (knobs.fusion, knobs.dense_weight) == ("score", 0.7)
    for wrong in ({"RAGOPT_FUSION": "best"}, {"RAGOPT_DENSE_WEIGHT": "1.1"}, {"RAGOPT_DENSE_WEIGHT": "-0.1"}):
        with environment(**wrong), pytest.raises(ConfigError, match=next(iter(wrong))):
            load_settings()


def test_models_are_read_in_the_files_order(tmp_path: Path) -> None:
    """Tier, price and key come out typed; the conventional variables are honoured."""
    with environment(RAGOPT_CONFIG=written(tmp_path, TOML), MY_KEY="k1", ANTHROPIC_API_KEY="k2", OPENAI_BASE_URL="u"):
        small, strong = load_settings().models
        assert [small.name, strong.tier] == ["small", "complex"]
        assert small.price is not None
        assert small.price.cached_input == Decimal("0.075")
        keys = [configured_key(model) for model in (small, strong)]
        assert [key.get_secret_value() if key else None for key in keys] == ["k1", "k2"]
        assert (configured_address(small), configured_address(strong)) == ("u", "http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"RAGOPT_TOP_K": "many"}, "RAGOPT_TOP_K"),
        ({"RAGOPT_TOP_K": "0"}, "RAGOPT_TOP_K"),
        ({"RAGOPT_RESILIENCE__ATTEMPTS": "9"}, "RAGOPT_RESILIENCE__ATTEMPTS"),
        ({"RAGOPT_TOPK": "5"}, "RAGOPT_TOPK: no such setting"),
        ({"RAGOPT_CONFIG": "/nowhere/ragopt.toml"}, "RAGOPT_CONFIG: no file"),
    ],
)
def test_a_wrong_setting_is_named(variables: dict[str, str], said: str) -> None:
    """The message starts with the variable to change."""
    with environment(**variables), pytest.raises(ConfigError, match=said):
        load_settings()


@pytest.mark.parametrize("shares", [(1,), (1, -1)])
def test_a_list_with_a_wrong_entry_is_not_called_too_short(tmp_path: Path, shares: tuple[int, ...]) -> None:
    """Only one that is too short is."""
    entries = [f'[[experiments.variants]]\nname = "{at}"\nshare = {share}\n' for at, share in enumerate(shares)]
    text = '[[experiments]]\nname = "e"\n' + "".join(entries)
    with environment(RAGOPT_CONFIG=written(tmp_path, text)), pytest.raises(ConfigError) as raised:
        load_settings()
    assert ("at least 2 items" in str(raised.value)) is (len(shares) < 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("context_tokens = [", "ragopt.toml"),
        ("contextual_tokens = 5", "CONTEXTUAL_TOKENS"),
        ('[[models]]\nname = "a"\nprovider = "openai"\napi_key = "secret"', "MODELS__0__API_KEY"),
        ('[[models]]\nname = "a"\nprovider = "openai"\nrpm = -5', "MODELS__0__RPM"),
        ("[resilience]\nretry_share = 2", "RAGOPT_RESILIENCE__RETRY_SHARE"),
        ('[[models]]\nname = "auto"\nprovider = "openai"', "models.auto"),
        ('[[models]]\nname = "a"\nprovider = "extractive"\n' * 2, "models.a"),
    ],
)
def test_a_wrong_file_is_named_and_no_value_is_shown(tmp_path: Path, text: str, said: str) -> None:
    """The key of the mistake is in the message, a secret written there is not."""
    with environment(RAGOPT_CONFIG=written(tmp_path, text)), pytest.raises(ConfigError, match=said) as raised:
        load_settings()
    assert "secret" not in str(raised.value)


def test_a_key_file_is_read_again_and_a_missing_key_is_named(tmp_path: Path) -> None:
    """Rotation needs no restart; a variable that is not set says which."""
    path = tmp_path / "key"
    path.write_text("first\n")
    model = ModelSettings(name="a", provider="openai", api_key_file=path)
    first = configured_key(model)
    path.write_text("second\n")
    second = configured_key(model)
    assert first is not None
    assert second is not None
    assert (first.get_secret_value(), second.get_secret_value()) == ("first", "second")
    with environment(), pytest.raises(ConfigError, match="NOT_THERE is not set"):
        configured_key(ModelSettings(name="a", provider="openai", api_key_env="NOT_THERE"))
    with pytest.raises(ConfigError, match="api_key_file"):
        configured_key(ModelSettings(name="a", provider="openai", api_key_file=tmp_path / "gone"))


MONEY = """
[[budgets]]
scope = "user"
usd_per_day = 0.5
when_spent = "extractive"

[baseline]
top_k = 8

[targets]
cost_per_answer_usd = 0.002
"""


def test_money_is_read_exactly(tmp_path: Path) -> None:
    """Budgets, baseline and targets of the file, with decimal amounts."""
    with environment(RAGOPT_CONFIG=written(tmp_path, MONEY)):
        settings = load_settings()
    (entry,) = settings.budgets
    assert (entry.scope, entry.name, entry.tenant, entry.usd_per_day) == ("user", "*", "*", Decimal("0.5"))
    assert (settings.baseline.top_k, settings.baseline.chunk_tokens, settings.baseline.overlap) == (8, 800, 400)
    assert settings.targets.cost_per_answer_usd == Decimal("0.002")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[budgets]]\nscope = "tenant"\nusd_per_day = -1', "RAGOPT_BUDGETS__0__USD_PER_DAY"),
        ('[[budgets]]\nscope = "tenant"', "usd_per_day, usd_per_month or both"),
        ('[[budgets]]\nscope = "galaxy"\nusd_per_day = 1', "RAGOPT_BUDGETS__0__SCOPE"),
        ('[[budgets]]\nscope = "tenant"\nusd_per_day = nan', "RAGOPT_BUDGETS__0__USD_PER_DAY"),
        ('[[budgets]]\nscope = "tenant"\nusd_per_day = 1\nwhen_spent = "panic"', "RAGOPT_BUDGETS__0__WHEN_SPENT"),
        ('[[budgets]]\nscope = "tenant"\nusd_per_day = 1\n[[budgets]]\nscope = "tenant"\nusd_per_day = 2', "twice"),
        ('[baseline]\nmodel = "gone"', "RAGOPT_BASELINE__MODEL"),
        ('[history]\nmodel = "gone"', "RAGOPT_HISTORY__MODEL"),
        ('[rewrite]\nmodel = "gone"', "RAGOPT_REWRITE__MODEL"),
        ("[baseline]\noverlap = 800", "RAGOPT_BASELINE"),
        ("[targets]\ncost_drift = 1", "RAGOPT_TARGETS__COST_DRIFT"),
    ],
)
def test_wrong_money_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Negative, missing, unknown and doubled amounts stop the start."""
    with environment(RAGOPT_CONFIG=written(tmp_path, text)), pytest.raises(ConfigError, match=said):
        load_settings()


SPANS_TO = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, None),
        (SPANS_TO, SPANS_TO["OTEL_EXPORTER_OTLP_ENDPOINT"]),
        ({**SPANS_TO, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://traces"}, "http://traces"),
        ({**SPANS_TO, "OTEL_TRACES_EXPORTER": "none"}, None),
        ({**SPANS_TO, "OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
        ({**SPANS_TO, "OTEL_SDK_DISABLED": "true"}, None),
        ({**SPANS_TO, "OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://127.0"),
        (
            {
                **SPANS_TO,
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
                "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf",
            },
            "http://127.0",
        ),
        # Of metrics or logs of other programs: where no spans go, nothing is asked of them.
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, None),
    ],
)
def test_standard_variables_say_where_spans_go(variables: dict[str, str], address: str | None) -> None:
    """The traces' own variable is the stronger one, and each way to switch tracing off does."""
    with environment(**variables):
        found = collector_address()
    assert found is None if address is None else (found or "").startswith(address)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"),
        ("OTEL_TRACES_EXPORTER", "console"),
        ("OTEL_TRACES_EXPORTER", "otlp,zipkin"),
    ],
)
def test_another_way_for_spans_is_refused_by_its_variable(variable: str, value: str) -> None:
    """Spans that no collector understands are a mistake that is seen at once."""
    with environment(**SPANS_TO, **{variable: value}), pytest.raises(ConfigError, match=f"^{variable}: .*{value}"):
        collector_address()
