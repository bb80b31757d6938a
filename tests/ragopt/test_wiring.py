"""The composition root: real engines, real Redis, the real model."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from indexes.records import Document
from ragopt.config import Settings
from ragopt.domain import QueryKnobs, Question
from ragopt.errors import ConfigError
from ragopt.events import Finished
from ragopt.telemetry import Trace
from ragopt.wiring import Service, answering_digest, deployment_of, open_library, open_service
from tests.environment import environment

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
            first, second = await ask(service), await ask(service)
            citation = first.answer.citations[0]
            assert LEAVE.text[citation.source_start : citation.source_end] == citation.quote
            assert (first.answer.cache.status, second.answer.cache.status) == ("miss", "hit")
            assert second.answer.text == first.answer.text

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


def test_a_model_without_its_key_is_a_configuration_error(tmp_path: Path) -> None:
    """The variable is named before anything starts."""
    model = {"name": "a", "provider": "openai", "api_key_env": "NOT_THERE"}
    with pytest.raises(ConfigError, match="NOT_THERE"):
        deployment_of(settings_in(tmp_path, models=(model,)).models[0])


def test_importing_the_package_is_light() -> None:
    """`import ragopt` loads none of the heavy libraries."""
    heavy = "{'torch', 'openvino', 'spacy', 'fastapi', 'numpy', 'openai', 'anthropic', 'qdrant_edge'}"
    check = f"import sys, ragopt; print(sorted({heavy} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
