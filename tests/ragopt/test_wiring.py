"""The composition root: real engines, real Redis, the real model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from indexes.errors import ModelUnavailable
from indexes.records import Document
from ragopt.config import Settings
from ragopt.domain import Context, QueryKnobs, Question
from ragopt.errors import ConfigError, KeyRefused, ProviderError
from ragopt.events import Finished
from ragopt.money.prices import Prices
from ragopt.providers.call import RetryRules
from ragopt.providers.health import BreakerRules
from ragopt.settings.models import ResilienceSettings
from ragopt.stages.rerank.cross_encoder import LocalCrossEncoder
from ragopt.telemetry import Trace
from ragopt.wiring.caching import loaded_verifier
from ragopt.wiring.engines import loaded_judge
from ragopt.wiring.models import answering_digest, caller_of, connect_all, deployment_of, deployments_of
from ragopt.wiring.service import Service, open_library, open_service
from tests.environment import environment
from tests.ragopt.money.questions import NamedProvider, deployment
from tests.rerank_endpoint import served_endpoint

LEAVE = Document("leave", "Employees have 28 days of paid leave. Unused days lapse in March.", "Leave")


def settings_in(folder: Path, **changes: object) -> Settings:
    with environment():
        return Settings(data_dir=folder, **changes)  # type: ignore[arg-type]


def test_a_service_answers_with_citations_and_then_from_its_cache(tmp_path: Path) -> None:
    """Everything embedded: ingest, ask, ask again."""

    async def ask(service: Service) -> Finished:
        question = Question("How many days of leave do employees have?", "default")
        *_, last = [event async for event in service.pipeline.answer(question, trace=Trace("r"))]
        assert isinstance(last, Finished)
        return last

    async def run() -> None:
        async with open_service(settings_in(tmp_path)) as service:
            assert await service.readiness() == {"index": "ok", "redis": "ok", "embedder": "ok"}
            await service.library.ingest("default", "default", [LEAVE])
            first = await ask(service)
            # A machine that stalls may make Redis late, and then the cache is left alone for a while.
            for _ in range(60):
                second = await ask(service)
                if second.answer.cache.status == "hit":
                    break
                await asyncio.sleep(0.5)
            citation = first.answer.citations[0]
            assert LEAVE.text[citation.source_start : citation.source_end] == citation.quote
            assert (first.answer.cache.status, second.answer.cache.status) == ("miss", "hit")
            assert second.answer.text == first.answer.text
            # No model is configured, so the baseline has none either and nothing is saved.
            assert first.answer.savings
            assert (first.answer.savings.baseline_cost_usd, first.answer.savings.saved_usd) == (0, 0)

    asyncio.run(run())


def test_what_was_stored_is_there_after_a_restart(tmp_path: Path) -> None:
    """The library alone opens the same data dir and finds the document."""

    async def run() -> None:
        async with open_library(settings_in(tmp_path)) as (library, _):
            await library.ingest("default", "default", [LEAVE])
        async with open_library(settings_in(tmp_path)) as (library, pipeline):
            assert (await library.document("default", "default", "leave")).text == LEAVE.text
            question = Question("paid leave", "default", knobs=QueryKnobs(context_tokens=50, top_k=5))
            context = await pipeline.context_for(question, trace=Trace("r"))
            assert context.passages[0].document_id == "leave"

    asyncio.run(run())


def test_the_cache_knows_which_models_answer(tmp_path: Path) -> None:
    """A change of models or of the answer length makes other cache keys."""
    plain, longer = settings_in(tmp_path), settings_in(tmp_path, max_output_tokens=5)
    other = settings_in(tmp_path, models=({"name": "a", "provider": "extractive"},))
    assert len({answering_digest(item) for item in (plain, longer, other)}) == 3


def test_the_cache_does_not_care_how_load_is_shared(tmp_path: Path) -> None:
    """Limits and groups change who answers when, not what is answered."""
    plain = {"name": "a", "provider": "extractive"}
    shared = plain | {"rpm": 5, "tpm": 500, "max_concurrent": 2, "group": "g"}
    digests = {answering_digest(settings_in(tmp_path, models=(model,))) for model in (plain, shared)}
    assert len(digests) == 1
    (made,) = deployments_of(settings_in(tmp_path, models=(shared,)).models)
    assert (made.rpm, made.tpm, made.max_concurrent, made.group) == (5, 500, 2, "g")


def test_resilience_settings_reach_the_caller() -> None:
    """What an operator turns is what the caller goes by; without a setting, the documented defaults."""
    told = ResilienceSettings(attempts=3, retry_share=0.5, breaker_share=0.9, breaker_calls=7, breaker_window_s=5)
    caller = caller_of(told, prices=Prices(), meter=None)
    assert caller.rules == RetryRules(attempts=3, share=0.5)
    assert caller.breaker_rules == BreakerRules(share=0.9, calls=7, window_s=5)
    default = caller_of(ResilienceSettings(), prices=Prices(), meter=None)
    assert (default.rules, default.breaker_rules) == (RetryRules(), BreakerRules())


def test_a_model_without_its_key_is_a_configuration_error(tmp_path: Path) -> None:
    """The variable is named before anything starts."""
    model = {"name": "a", "provider": "openai", "api_key_env": "NOT_THERE"}
    with pytest.raises(ConfigError, match="NOT_THERE"):
        deployment_of(settings_in(tmp_path, models=(model,)).models[0])


def reranked_by(folder: Path, **changes: str) -> tuple[Context, Trace]:
    """Return the context of a question by a library opened with these settings, and its trace."""

    async def run() -> tuple[Context, Trace]:
        trace = Trace("r")
        async with open_library(settings_in(folder, rerank_deadline_ms=10_000, **changes)) as (library, pipeline):
            await library.ingest("default", "default", [LEAVE])
            return await pipeline.context_for(Question("paid leave?", "default"), trace=trace), trace

    return asyncio.run(run())


def test_a_served_cross_encoder_judges_the_hits(tmp_path: Path) -> None:
    """Its address is all that is needed; the key goes along, and the trace says how many it judged."""
    with served_endpoint() as endpoint:
        context, trace = reranked_by(tmp_path, rerank_model=endpoint.url, rerank_api_key="hidden")
    assert context.passages[0].document_id == "leave"
    assert trace.facts["rerank_judged"] == 1
    assert endpoint.bodies[0]["query"] == "paid leave?"
    assert endpoint.keys == ["Bearer hidden"]


def test_late_interaction_is_alone_without_a_cross_encoder(tmp_path: Path) -> None:
    """Nothing is configured, and nothing lies in the hub's cache."""
    _, trace = reranked_by(tmp_path)
    assert "rerank_judged" not in trace.facts


def test_a_cross_encoder_is_loaded_from_its_folder(tmp_path: Path, cross_encoder: Path) -> None:
    """From a folder it judges in this process; a folder without a model is an error that names the setting."""

    async def judge(model: str) -> list[float]:
        async with AsyncExitStack() as stack:
            loaded = await loaded_judge(settings_in(tmp_path, rerank_model=model), stack)
            assert isinstance(loaded, LocalCrossEncoder)
            return list(await loaded.scores("paid leave?", [LEAVE.text, "Cats sleep."]))

    # Torch, because the cache folder is a file: the conversion has its own test.
    (tmp_path / "ragopt").write_text("")
    with environment(XDG_CACHE_HOME=str(tmp_path)):
        assert len(set(asyncio.run(judge(str(cross_encoder))))) == 2
        with pytest.raises(ModelUnavailable, match="RAGOPT_RERANK_MODEL"):
            asyncio.run(judge(str(tmp_path)))


def test_a_machine_that_cannot_run_the_verifier_has_exact_hits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The service starts without it and the log says why: a cache folder that is a file stands for such a machine."""

    async def load() -> bool:
        async with AsyncExitStack() as stack:
            return await loaded_verifier(settings_in(tmp_path), stack) is not None

    assert asyncio.run(load())
    (tmp_path / "ragopt").write_text("")
    with environment(XDG_CACHE_HOME=str(tmp_path)):
        assert not asyncio.run(load())
    assert "questions in other words are not answered from the cache: " in caplog.text
    assert "OpenVINO cannot run the model" in caplog.text


def test_an_effort_that_a_model_does_not_take_is_a_configuration_error(tmp_path: Path) -> None:
    """The setting is named with what the model takes; a model that nobody knows gets what was asked."""
    known = {"name": "a", "provider": "anthropic", "model": "claude-opus-4-5", "effort": "max", "base_url": "http://x"}
    with pytest.raises(ConfigError, match=r"models\.a\.effort: claude-opus-4-5 takes low, medium, high, not max"):
        deployments_of(settings_in(tmp_path, models=(known,)).models)
    unknown = {"name": "a", "provider": "openai", "model": "own", "effort": "low", "base_url": "http://x"}
    (made,) = deployments_of(settings_in(tmp_path, models=(unknown | {"streaming": False},)).models)
    assert (made.effort, made.capabilities.streaming) == ("low", False)


def test_models_at_one_address_share_their_connections(tmp_path: Path) -> None:
    """Another address, key file or dialect has a pool of its own."""
    key = tmp_path / "key"
    key.write_text("sk-1")
    at = {"provider": "openai", "base_url": "http://x"}
    models = (
        {"name": "a", **at},
        {"name": "b", **at},
        {"name": "c", **at, "base_url": "http://y"},
        {"name": "d", **at, "api_key_file": str(key)},
        {"name": "e", **at, "provider": "anthropic"},
    )
    made = deployments_of(settings_in(tmp_path, models=models).models)
    assert made[0].provider is made[1].provider
    assert len({id(deployment.provider) for deployment in made}) == 4


@dataclass
class Warmed(NamedProvider):
    """A provider that notes that it was connected, and fails at it if told."""

    name: str = "openai"
    failure: ProviderError | None = None
    connections: int = 0

    async def connected(self) -> None:
        """Note it."""
        self.connections += 1
        if self.failure is not None:
            raise self.failure


def test_every_provider_is_connected_before_its_first_call() -> None:
    """One that lacks its key holds up no other and no start: its own calls will say so."""
    providers = [Warmed(failure=KeyRefused("no key")), Warmed()]
    asyncio.run(connect_all([replace(deployment(), provider=provider) for provider in providers]))
    assert [provider.connections for provider in providers] == [1, 1]


def test_importing_the_package_is_light() -> None:
    """`import ragopt` loads none of the heavy libraries."""
    heavy = "{'torch', 'openvino', 'spacy', 'fastapi', 'numpy', 'openai', 'anthropic', 'qdrant_edge'}"
    check = f"import sys, ragopt; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
