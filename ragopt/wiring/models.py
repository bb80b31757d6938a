"""Configured models to deployments that can be called."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from ragopt.config import Settings, configured_address, configured_key
from ragopt.errors import ConfigError, ProviderError
from ragopt.money.prices import Prices
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.call import ModelCaller, RetryRules
from ragopt.providers.capabilities import Capabilities, capabilities_of
from ragopt.providers.deployment import Deployment
from ragopt.providers.extractive import ExtractiveProvider
from ragopt.providers.health import BreakerRules
from ragopt.providers.keys import ApiKey, KeyFile
from ragopt.providers.meter import Meter
from ragopt.providers.openai import OpenAIProvider
from ragopt.providers.protocol import Provider
from ragopt.providers.residency import Residency
from ragopt.settings.collections import CollectionSettings
from ragopt.settings.models import ModelSettings, ResilienceSettings

# They change who answers when, never what is answered.
LOAD_FIELDS = {"rpm", "tpm", "max_concurrent", "group"}
# Where things are, what a request may cost and how long it may take. Every other setting may change an answer.
OPERATING_FIELDS = frozenset(
    {
        *("data_dir", "qdrant_url", "qdrant_api_key", "redis_url", "api_key", "host", "port"),
        *("embedding_api_key", "rerank_api_key"),
        *("request_timeout_s", "max_concurrent_requests", "queue_wait_s", "drain_s", "conversation_ttl_s"),
        *("max_document_bytes", "max_ingest_bytes", "max_body_bytes", "max_question_tokens"),
        *("resilience", "budgets", "baseline", "targets", "cache", "limits"),
    }
)


def caller_over(settings: Settings, *, prices: Prices, meter: Meter | None) -> ModelCaller:
    """Return what every model call of these settings passes through."""
    return caller_of(settings.resilience, prices=prices, meter=meter, collections=settings.collections)


def caller_of(
    resilience: ResilienceSettings,
    *,
    prices: Prices,
    meter: Meter | None,
    collections: Sequence[CollectionSettings] = (),
) -> ModelCaller:
    """Return what every model call passes through; without a meter no budget bounds it.

    collections: whose `regions` bar models from what they hold.
    """
    return ModelCaller(
        prices,
        meter=meter,
        retries=RetryRules(attempts=resilience.attempts, share=resilience.retry_share),
        breaker=BreakerRules(
            share=resilience.breaker_share, calls=resilience.breaker_calls, window_s=resilience.breaker_window_s
        ),
        residency=Residency(collections),
    )


def deployments_of(models: Sequence[ModelSettings]) -> list[Deployment]:
    """Return the configured models in their order; those with one address and key share one pool of connections.

    Raises: `ConfigError` for a key that cannot be found or an effort that a model does not take.
    """
    providers: dict[tuple[object, ...], Provider] = {}
    made: list[Deployment] = []
    for model in models:
        place = (model.provider, configured_address(model), model.api_key_file or configured_key(model))
        made.append(deployment_of(model, provider=providers.get(place)))
        providers[place] = made[-1].provider
    return made


async def connect_all(deployments: Sequence[Deployment]) -> None:
    """Have the client of every provider: the first answer would wait a second for the import of its SDK otherwise.

    One that cannot be had, for want of a key, fails with the first call of its model.
    """
    for deployment in deployments:
        with suppress(ProviderError):
            await deployment.provider.connected()


def deployment_of(model: ModelSettings, *, provider: Provider | None = None) -> Deployment:
    """Return a configured model with its provider, a new one unless given.

    Raises: `ConfigError` if its key cannot be found or it does not take its effort.
    """
    name = model.model or model.name
    return Deployment(
        name=model.name,
        provider=provider or provider_of(model, key=api_key_of(model)),
        model=name,
        tier=model.tier,
        timeout_s=model.timeout_s,
        price=model.price,
        capabilities=checked_capabilities(model, name=name),
        effort=model.effort,
        rpm=model.rpm,
        tpm=model.tpm,
        max_concurrent=model.max_concurrent,
        group=model.group,
        base_url=configured_address(model),
        regions=model.regions,
    )


def api_key_of(model: ModelSettings) -> ApiKey:
    """Return the model's key, or the file it is read from for every call. Raises: `ConfigError` if there is none."""
    key = configured_key(model)
    return KeyFile(model.api_key_file) if model.api_key_file and model.provider != "extractive" else key


def checked_capabilities(model: ModelSettings, *, name: str) -> Capabilities:
    """Return what the model takes. Raises: `ConfigError` if it is known not to take its effort or its citations."""
    capabilities = capabilities_of(model.provider, name)
    if model.effort and capabilities.efforts is not None and model.effort not in capabilities.efforts:
        taken = ", ".join(capabilities.efforts) or "no effort"
        raise ConfigError(f"models.{model.name}.effort: {name} takes {taken}, not {model.effort}")
    native = model.citations == "native"
    if native and model.provider != "anthropic":
        raise ConfigError(f'models.{model.name}.citations: only provider = "anthropic" has citations of its own')
    batch = capabilities.batch if model.batch is None else model.batch
    return replace(capabilities, streaming=model.streaming, batch=batch, native_citations=native)


def answering_digest(settings: Settings) -> str:
    """Return 16 hex digits that change with every setting that can change an answer, a new one included."""
    answering = settings.model_dump(mode="json", exclude={*OPERATING_FIELDS, "models"})
    models = [
        [model.model_dump(mode="json", exclude=LOAD_FIELDS), configured_address(model)] for model in settings.models
    ]
    canonical = json.dumps([answering, models], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def provider_of(model: ModelSettings, *, key: ApiKey) -> Provider:
    """Return the adapter of a model's dialect; it connects with its first call."""
    if model.provider == "openai":
        return OpenAIProvider(key, configured_address(model))
    if model.provider == "anthropic":
        return AnthropicProvider(key, configured_address(model))
    return ExtractiveProvider()
