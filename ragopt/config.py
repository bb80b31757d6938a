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
from dataclasses import fields, replace
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from ragopt.domain import FusionMethod, QueryKnobs
from ragopt.errors import ConfigError
from ragopt.settings.audit import AuditSettings
from ragopt.settings.batch import BatchSettings
from ragopt.settings.caching import CacheSettings
from ragopt.settings.checks import (
    refuse_duplicate_budgets,
    refuse_duplicate_collections,
    refuse_duplicate_models,
    refuse_unknown_baseline,
    refuse_unknown_helper,
    refuse_unknown_segments,
    refuse_unknown_targets,
    refuse_unknown_variants,
)
from ragopt.settings.collections import CollectionSettings, segment_of
from ragopt.settings.experiments import ExperimentSettings
from ragopt.settings.exports import ExportSettings
from ragopt.settings.facts import FactSettings
from ragopt.settings.history import HistorySettings
from ragopt.settings.models import ModelSettings, ResilienceSettings
from ragopt.settings.money import BaselineSettings, BudgetSettings, TargetSettings
from ragopt.settings.plan import PlanSettings
from ragopt.settings.privacy import PrivacySettings
from ragopt.settings.profiles import DEFAULT_PROFILE, KnobsFileSource, Profile, Segments
from ragopt.settings.rewriting import RewriteSettings
from ragopt.settings.routing import RouteSettings, RoutingSettings
from ragopt.settings.traffic import LimitSettings
from ragopt.settings.url_ingest import UrlIngestSettings

MEBIBYTE = 1024 * 1024
# Measured on three sets with questions of six others: of a set's own questions 0, 0 and 1.2 % are lost, of foreign ones
# 52 to 68 % caught. Similarities of another model lie elsewhere.
SHIPPED_MIN_RELEVANCE = 0.4
DEFAULT_CONFIG_FILE = "ragopt.toml"
# Variables, the stronger first, and what they may say: the extra `otel` brings one exporter.
EXPORTS = (
    (("OTEL_TRACES_EXPORTER",), ("otlp", "otlp_proto_http")),
    (("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"), ("http/protobuf",)),
)
CONVENTIONAL_ENV = {
    "openai": ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
}


class Settings(BaseSettings):
    """Every setting of the service; each is also `RAGOPT_` + its name in capitals."""

    model_config = SettingsConfigDict(env_prefix="RAGOPT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    data_dir: Path = Field(default=Path(".ragopt"), description="where the embedded engines keep their files")
    qdrant_url: str | None = Field(default=None, description="unset: embedded Qdrant Edge; set: a Qdrant server")
    qdrant_api_key: SecretStr | None = Field(default=None, description="key of that Qdrant server")
    redis_url: str | None = Field(
        default=None, description="unset: a private embedded Redis; set: that Redis, or its sentinels"
    )
    api_key: SecretStr | None = Field(default=None, description="one bootstrap key, all scopes, tenant `default`")
    embedding_model: str = Field(
        default="", description="a path, hub id or the address of a served one; empty: the model that ships"
    )
    embedding_api_key: SecretStr | None = Field(default=None, description="key of a served embedding model")
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
    segments: Segments = Field(
        default={}, description="knobs by segment, for `[[collections]]` to name; only that file sets them"
    )
    metrics_key: SecretStr | None = Field(default=None, description="bearer key of GET /metrics; unset: it is open")
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
    cache: CacheSettings = Field(default=CacheSettings(), description="`[cache]`: which answers are kept and served")
    conversation_ttl_s: int = Field(default=30 * 86_400, ge=60, description="life of an idle conversation")
    drain_s: float = Field(default=25, ge=0, description="how long open requests may run on after SIGTERM")
    resilience: ResilienceSettings = Field(
        default=ResilienceSettings(), description="retries and circuit breakers: a table, see below"
    )
    batch: BatchSettings = Field(
        default=BatchSettings(), description="`[batch]`: questions that can wait, at half price"
    )
    audit: AuditSettings = Field(default=AuditSettings(), description="`[audit]`: the log of who did what")
    url_ingest: UrlIngestSettings = Field(
        default=UrlIngestSettings(), description="`[url_ingest]`: documents that the service fetches, off by default"
    )
    models: tuple[ModelSettings, ...] = Field(default=(), description="`[[models]]`; none: extractive answers")
    budgets: tuple[BudgetSettings, ...] = Field(default=(), description="`[[budgets]]`: what may be spent")
    baseline: BaselineSettings = Field(
        default=BaselineSettings(), description="`[baseline]`: what savings are counted against"
    )
    history: HistorySettings = Field(
        default=HistorySettings(), description="`[history]`: what of an earlier conversation goes into a prompt"
    )
    experiments: tuple[ExperimentSettings, ...] = Field(
        default=(), description="`[[experiments]]`: variants that share the traffic"
    )
    rewrite: RewriteSettings = Field(
        default=RewriteSettings(), description="`[rewrite]`: what makes a follow-up stand alone"
    )
    targets: TargetSettings = Field(default=TargetSettings(), description="`[targets]`: aims that alarms watch")
    export: ExportSettings = Field(
        default=ExportSettings(), description="`[export]`: how long and how many answers are kept"
    )
    plan: PlanSettings = Field(default=PlanSettings(), description="`[plan]`: what `ragopt plan` assumes")
    routing: RoutingSettings = Field(
        default=RoutingSettings(), description="`[routing]`: thresholds, cascade and fallback"
    )
    limits: LimitSettings = Field(
        default=LimitSettings(), description="`[limits]`: what each key may ask for, and how much may wait"
    )
    routes: tuple[RouteSettings, ...] = Field(
        default=(), description="`[[routes]]`: rules, the first that matches decides"
    )
    facts: tuple[FactSettings, ...] = Field(default=(), description="`[[facts]]`: what answers must not contradict")
    privacy: PrivacySettings = Field(
        default=PrivacySettings(), description="`[privacy]`: a model that finds names and places"
    )
    collections: tuple[CollectionSettings, ...] = Field(
        default=(), description="`[[collections]]`: policies of collections, the most specific entry decides"
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

    def knobs_of(self, *, tenant: str, collection: str) -> QueryKnobs:
        """Return the knobs of a request that names none: those of the collection's segment, else the service's."""
        segment = segment_of(self.collections, tenant=tenant, collection=collection)
        return replace(self.knobs(), **self.segments[segment]) if segment else self.knobs()  # type: ignore[arg-type]


def config_file() -> Path:
    """Return the path of ragopt.toml: `RAGOPT_CONFIG`, else the one in the working directory."""
    return Path(os.environ.get("RAGOPT_CONFIG") or DEFAULT_CONFIG_FILE)


def collector_address() -> str | None:
    """Return where OpenTelemetry's standard variables say that spans go, None where they name nothing or say no.

    Raises: `ConfigError` naming the variable that asks for another way there than OTLP over HTTP in protobuf.
    """
    exporter = os.environ.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if exporter == "none" or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    named = first_set("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    if named is None:
        return None
    for variables, taken in EXPORTS:
        variable = first_set(*variables)
        if variable is not None and os.environ[variable].strip().lower() not in taken:
            raise ConfigError(f"{variable}: spans leave by {taken[0]} alone, not by {os.environ[variable]}")
    return os.environ[named]


def first_set(*variables: str) -> str | None:
    """Return the name of the first variable that is set and not empty, None if none is."""
    return next((name for name in variables if os.environ.get(name)), None)


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
        raise ConfigError("; ".join(setting_problems(error))) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from error
    refuse_unknown_variables()
    refuse_duplicate_models(settings.models)
    refuse_unknown_baseline(settings.baseline, settings.models)
    refuse_duplicate_budgets(settings.budgets)
    refuse_unknown_helper("history", settings.history.model, settings.models)
    refuse_unknown_helper("rewrite", settings.rewrite.model, settings.models)
    refuse_unknown_targets(settings.routes, settings.models)
    refuse_unknown_variants(settings.experiments, settings.models)
    refuse_duplicate_collections(settings.collections)
    refuse_unknown_segments(
        settings.collections, settings.segments, knobs_file=settings.knobs_file, profile=settings.profile
    )
    return settings


def configured_address(model: ModelSettings) -> str | None:
    """Return the model's `base_url`, else what its provider's own variable says, else None."""
    if model.base_url or model.provider == "extractive":
        return model.base_url
    return os.environ.get(CONVENTIONAL_ENV[model.provider][1]) or None


def configured_key(model: ModelSettings) -> SecretStr | None:
    """Return the model's key from `api_key_file`, `api_key_env` or its provider's own variable.

    Raises: `ConfigError` if the file cannot be read or the named variable is not set.
    """
    if model.provider == "extractive":
        return None
    if model.api_key_file is not None:
        try:
            return SecretStr(model.api_key_file.read_text(encoding="utf-8").strip())
        except OSError as error:
            raise ConfigError(f"models.{model.name}.api_key_file: {error}") from error
    variable = model.api_key_env or CONVENTIONAL_ENV[model.provider][0]
    value = os.environ.get(variable)
    if value is None and model.api_key_env is not None:
        raise ConfigError(f"models.{model.name}.api_key_env: the variable {variable} is not set")
    return None if value is None else SecretStr(value)


def setting_problems(error: ValidationError) -> Iterator[str]:
    """Yield a line for each wrong setting that names its environment variable and says what is wrong with it.

    pydantic counts a tuple without its wrong items: that it is too short then is no mistake of its own.
    """
    found = [(item["loc"], item["type"], item["msg"]) for item in error.errors()]
    for location, kind, message in found:
        inside = any(other[: len(location)] == location and other != location for other, _, _ in found)
        if not (kind == "too_short" and inside):
            yield f"RAGOPT_{'__'.join(str(part).upper() for part in location)}: {message}"


def refuse_unknown_variables() -> None:
    """Raise `ConfigError` for a `RAGOPT_` variable that no setting reads: a typo would go unseen otherwise."""
    known = {f"RAGOPT_{name.upper()}" for name in Settings.model_fields} | {"RAGOPT_CONFIG"}
    for variable in sorted(os.environ):
        if variable.startswith("RAGOPT_") and variable.split("__")[0] not in known:
            raise ConfigError(f"{variable}: no such setting; `ragopt config check` lists them")
