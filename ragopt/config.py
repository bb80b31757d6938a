"""Settings: where to connect and what is allowed. The only reader of the environment.

Read once at start from `ragopt.toml` (path in `RAGOPT_CONFIG`) and the environment (`RAGOPT_` +
name, `__` between levels); the environment wins. A profile of `knobs.toml` stands in for defaults.
What may change per request is `QueryKnobs`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ragopt.domain import FusionMethod, QueryKnobs, Tier
from ragopt.errors import ConfigError
from ragopt.money_settings import BaselineSettings, BudgetSettings, TargetSettings
from ragopt.profiles import DEFAULT_PROFILE, KnobsFileSource, Profile
from ragopt.providers.capabilities import Effort
from ragopt.route_settings import RouteSettings, RoutingSettings

MEBIBYTE = 1024 * 1024
# Measured on three sets with questions of six others: of a set's own questions 0, 0 and 1.2 % are lost, of foreign ones
# 52 to 68 % caught. Similarities of another model lie elsewhere.
SHIPPED_MIN_RELEVANCE = 0.4
DEFAULT_CONFIG_FILE = "ragopt.toml"
CONVENTIONAL_ENV = {
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
}


class PriceSettings(BaseModel):
    """USD per million tokens; overrides the price table for one model.

    Cached input and what is written to a provider's cache cost as input unless said; a write for an hour costs
    as one for the shorter lifetime unless said.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    input: Decimal = Field(ge=0, allow_inf_nan=False)
    output: Decimal = Field(ge=0, allow_inf_nan=False)
    cached_input: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write_1h: Decimal | None = Field(default=None, ge=0, allow_inf_nan=False)


class ModelSettings(BaseModel):
    """One `[[models]]` entry of ragopt.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    name: str = Field(min_length=1, description="what the API calls it")
    provider: Literal["openai", "anthropic", "extractive"]
    model: str = Field(default="", description="the provider's name for it")
    tier: Tier = "simple"
    base_url: str | None = Field(default=None, description="another server that speaks the dialect")
    api_key_env: str | None = Field(default=None, description="the NAME of a variable, never a key")
    api_key_file: Path | None = Field(default=None, description="a file that holds the key; read for every call")
    timeout_s: float = Field(default=30, gt=0, le=600)
    streaming: bool = Field(default=True, description="false for a server that cannot stream")
    effort: Effort | None = Field(default=None, description="how much to reason; unset: the model's default")
    price: PriceSettings | None = None
    rpm: int | None = Field(default=None, ge=1, description="requests per minute that ragopt sends at most")
    tpm: int | None = Field(default=None, ge=1, description="tokens per minute that ragopt sends and asks for at most")
    max_concurrent: int | None = Field(default=None, ge=1, description="calls at once; more wait for a place")
    group: str = Field(default="", description="models of one group share their calls by what is left of their limits")

    def resolved_base_url(self) -> str | None:
        """Return `base_url`, else what the provider's own variable says, else None."""
        if self.base_url or self.provider == "extractive":
            return self.base_url
        return os.environ.get(CONVENTIONAL_ENV[self.provider][1]) or None

    def resolved_api_key(self) -> SecretStr | None:
        """Return the key from `api_key_file`, `api_key_env` or the provider's own variable.

        Raises: `ConfigError` if the file cannot be read or the named variable is not set.
        """
        if self.provider == "extractive":
            return None
        if self.api_key_file is not None:
            try:
                return SecretStr(self.api_key_file.read_text(encoding="utf-8").strip())
            except OSError as error:
                raise ConfigError(f"models.{self.name}.api_key_file: {error}") from error
        variable = self.api_key_env or CONVENTIONAL_ENV[self.provider][0]
        value = os.environ.get(variable)
        if value is None and self.api_key_env is not None:
            raise ConfigError(f"models.{self.name}.api_key_env: the variable {variable} is not set")
        return None if value is None else SecretStr(value)


class ResilienceSettings(BaseModel):
    """The `[resilience]` table of ragopt.toml: when a failed model call is made again, and when no more."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    attempts: int = Field(default=2, ge=1, le=5, description="calls of one model for one question; 1: no retries")
    retry_share: float = Field(default=0.1, ge=0, le=1, description="retries per first call, over a minute")
    breaker_share: float = Field(default=0.5, gt=0, le=1, description="failed share that stops calls of a model")
    breaker_calls: int = Field(default=20, ge=1, description="fewest calls in the window that can stop them")
    breaker_window_s: float = Field(default=30, gt=0, description="seconds over which that share is counted")


class Settings(BaseSettings):
    """Every setting of the service; each is also `RAGOPT_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="RAGOPT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Path = Field(default=Path(".ragopt"), description="where the embedded engines keep their files")
    qdrant_url: str | None = Field(default=None, description="unset: embedded Qdrant Edge; set: a Qdrant server")
    qdrant_api_key: SecretStr | None = Field(default=None, description="key of that Qdrant server")
    redis_url: str | None = Field(default=None, description="unset: a private embedded Redis; set: that Redis")
    api_key: SecretStr | None = Field(default=None, description="one bootstrap key, all scopes, tenant `default`")
    embedding_model: str = Field(default="", description="a path or hub id; empty: the model that ships")
    context_tokens: int = Field(default=800, ge=1, le=200_000, description="tokens of the packed passages")
    top_k: int = Field(default=50, ge=1, le=1_000, description="fused hits that reach reranking and packing")
    neighbours: int = Field(
        default=0, ge=0, le=5, description="chunks on each side of the first ten hits that reach reranking too"
    )
    fusion: FusionMethod = Field(default="rrf", description="how dense and BM25 hits are fused: by rank or by score")
    dense_weight: float = Field(default=0.5, ge=0, le=1, description="share of the dense side in fusion, BM25 the rest")
    relevance_floor: float = Field(
        default=0.5, ge=0, le=1, description="packing ends below this share of the best sentence's value; 0: never"
    )
    redundancy: float = Field(default=0.1, ge=0, le=1, description="value a sentence loses that repeats a packed one")
    min_relevance: float | None = Field(
        default=None,
        ge=0,
        le=1,
        description="a question to which no chunk is as relevant gets no passages; "
        "empty: 0.4 for the embedding model that ships, which it was measured for, 0 for others",
    )
    rerank_model: str = Field(
        default="",
        description="a cross-encoder: a path, hub id or the address of a served one; `late-interaction`: none; "
        "empty: `cross-encoder/ms-marco-MiniLM-L6-v2` if this machine's hub cache has it, else none",
    )
    rerank_api_key: SecretStr | None = Field(default=None, description="key of a served cross-encoder")
    rerank_depth: int = Field(default=50, ge=1, le=1_000, description="most hits that a cross-encoder may judge")
    rerank_deadline_ms: int = Field(default=120, ge=1, le=60_000, description="milliseconds that reranking may take")
    chunk_tokens: int = Field(
        default=100, ge=20, le=1_000, description="target size of a chunk; a change means re-ingest"
    )
    knobs_file: Path | None = Field(default=None, description="`knobs.toml` as `python -m eval tune` writes it")
    profile: Profile = Field(
        default=DEFAULT_PROFILE, description="which profile of that file: `quality`, `balanced`, `cost`, `latency`"
    )
    host: str = Field(default="127.0.0.1", description="address the service listens on")
    port: int = Field(default=8080, ge=0, le=65_535, description="port the service listens on")
    request_timeout_s: float = Field(default=120, gt=0, description="total time of one request")
    max_concurrent_requests: int = Field(default=64, ge=1, description="questions worked on at once; beyond: 503")
    queue_wait_s: float = Field(default=1, ge=0, description="how long a question waits for a place before 503")
    max_document_bytes: int = Field(default=20 * MEBIBYTE, ge=1, description="one document")
    max_ingest_bytes: int = Field(default=100 * MEBIBYTE, ge=1, description="one /ingest body")
    max_body_bytes: int = Field(default=2 * MEBIBYTE, ge=1, description="any other body")
    max_question_tokens: int = Field(default=8_000, ge=1, description="one question, history not counted")
    max_output_tokens: int = Field(default=1_024, ge=1, description="answer length unless the request says less")
    cache_ttl_s: int = Field(default=86_400, ge=0, description="life of a cached answer; 0 turns the cache off")
    conversation_ttl_s: int = Field(default=30 * 86_400, ge=60, description="life of an idle conversation")
    drain_s: float = Field(default=25, ge=0, description="how long open requests may run on after SIGTERM")
    resilience: ResilienceSettings = Field(
        default=ResilienceSettings(), description="retries and circuit breakers: a table, see below"
    )
    models: tuple[ModelSettings, ...] = Field(default=(), description="`[[models]]`; none: extractive answers")
    budgets: tuple[BudgetSettings, ...] = Field(default=(), description="`[[budgets]]`: what may be spent")
    baseline: BaselineSettings = Field(
        default=BaselineSettings(), description="`[baseline]`: what savings are counted against"
    )
    targets: TargetSettings = Field(default=TargetSettings(), description="`[targets]`: aims that alarms watch")
    routing: RoutingSettings = Field(
        default=RoutingSettings(), description="`[routing]`: thresholds, cascade and fallback"
    )
    routes: tuple[RouteSettings, ...] = Field(
        default=(), description="`[[routes]]`: rules, the first that matches decides"
    )

    @classmethod
    def settings_customise_sources(  # noqa: PLR0917 - the signature is pydantic-settings'
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, strongest first: arguments, environment, ragopt.toml, knobs.toml."""
        toml = TomlConfigSettingsSource(settings_cls, config_file())
        return init_settings, env_settings, toml, KnobsFileSource(settings_cls)

    def knobs(self) -> QueryKnobs:
        """Return the knobs of a request that names none."""
        values = {knob.name: getattr(self, knob.name) for knob in fields(QueryKnobs)}
        if self.min_relevance is None:
            values["min_relevance"] = 0.0 if self.embedding_model else SHIPPED_MIN_RELEVANCE
        return QueryKnobs(**values)


def config_file() -> Path:
    """Return the path of ragopt.toml: `RAGOPT_CONFIG`, else the one in the working directory."""
    return Path(os.environ.get("RAGOPT_CONFIG") or DEFAULT_CONFIG_FILE)


def cache_dir() -> Path:
    """Return the user's cache folder for converted models: `XDG_CACHE_HOME` or `~/.cache`, plus `ragopt`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ragopt"


def hub_cache_dir() -> Path:
    """Return where the Hugging Face hub's library keeps downloads.

    Source: huggingface_hub, environment variables: `HF_HUB_CACHE`, else `HF_HOME/hub`, else
    `huggingface/hub` in `XDG_CACHE_HOME` or `~/.cache`.
    """
    home = os.environ.get("HF_HOME")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    named = os.environ.get("HF_HUB_CACHE")
    return Path(named or Path(home or cache / "huggingface") / "hub").expanduser()


@contextmanager
def shipped_vocabularies() -> Iterator[None]:
    """Point tiktoken at the vocabularies that ship, for the block: it would download them otherwise."""
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(Path(__file__).parent / "data" / "tiktoken")
    try:
        yield
    finally:
        del os.environ["TIKTOKEN_CACHE_DIR"]
        if before is not None:
            os.environ["TIKTOKEN_CACHE_DIR"] = before


def runtime_dir() -> Path:
    """Return a folder short enough for unix sockets: `XDG_RUNTIME_DIR` if it is there, else `/tmp`."""
    named = os.environ.get("XDG_RUNTIME_DIR")
    return Path(named) if named and len(named) < 40 and Path(named).is_dir() else Path("/tmp")  # noqa: S108 - sockets need a short path; their folder is private


def load_settings(*, data_dir: Path | None = None, host: str | None = None, port: int | None = None) -> Settings:
    """Return the validated settings; arguments that are not None win over every source.

    Raises: `ConfigError` naming each wrong setting, the file if it is missing or not TOML, and any
    `RAGOPT_` variable that is not a setting.
    """
    path = config_file()
    if os.environ.get("RAGOPT_CONFIG") and not path.is_file():
        raise ConfigError(f"RAGOPT_CONFIG: no file at {path}")
    given = {"data_dir": data_dir, "host": host, "port": port}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        raise ConfigError("; ".join(setting_problem(item["loc"], item["msg"]) for item in error.errors())) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    refuse_unknown_variables()
    refuse_duplicate_models(settings.models)
    refuse_unknown_baseline(settings)
    refuse_duplicate_budgets(settings.budgets)
    refuse_unknown_targets(settings)
    return settings


def setting_problem(location: tuple[int | str, ...], message: str) -> str:
    """Return one line that names the setting by its environment variable and says what is wrong with it."""
    return f"RAGOPT_{'__'.join(str(part).upper() for part in location)}: {message}"


def refuse_unknown_variables() -> None:
    """Raise `ConfigError` for a `RAGOPT_` variable that no setting reads: a typo would go unseen otherwise."""
    known = {f"RAGOPT_{name.upper()}" for name in Settings.model_fields} | {"RAGOPT_CONFIG"}
    for variable in sorted(os.environ):
        if variable.startswith("RAGOPT_") and variable.split("__")[0] not in known:
            raise ConfigError(f"{variable}: no such setting; `ragopt config check` lists them")


def refuse_unknown_baseline(settings: Settings) -> None:
    """Raise `ConfigError` if `[baseline]` names a model that is not configured."""
    name = settings.baseline.model
    if name and name not in [model.name for model in settings.models]:
        raise ConfigError(f"RAGOPT_BASELINE__MODEL: no model is named {name!r}")


def refuse_duplicate_budgets(budgets: tuple[BudgetSettings, ...]) -> None:
    """Raise `ConfigError` if two `[[budgets]]` are for the same scope, name and tenant: one would be ignored."""
    places = [(budget.scope, budget.name, budget.tenant) for budget in budgets]
    for at, place in enumerate(places):
        if place in places[:at]:
            raise ConfigError(f"RAGOPT_BUDGETS__{at}: {' '.join(place)} has a budget twice")


def refuse_duplicate_models(models: tuple[ModelSettings, ...]) -> None:
    """Raise `ConfigError` if two `[[models]]` share a name or a name is reserved."""
    names = [model.name for model in models]
    for name in names:
        if names.count(name) > 1 or name == "auto":
            raise ConfigError(f"models.{name}: the name is taken")


def refuse_unknown_targets(settings: Settings) -> None:
    """Raise `ConfigError` if a rule names a model that is not configured."""
    names = [model.name for model in settings.models]
    for number, rule in enumerate(settings.routes, start=1):
        if rule.model is not None and rule.model not in names:
            raise ConfigError(f"routes.{number}.model: no model is named {rule.model!r}")
