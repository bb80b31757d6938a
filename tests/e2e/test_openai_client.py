"""The official `openai` client against the real service, with the provider stub behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from eval.stub import StubServer, serve_in_thread
from ragopt.prompt import SYSTEM
from tests.e2e.service import running

DOCUMENT = {"id": "cats", "text": "Cats sleep sixteen hours a day. They purr as well."}


@pytest.fixture(scope="module")
def stub() -> Iterator[StubServer]:
    """One stub for the module."""
    with serve_in_thread() as server:
        yield server


@pytest.fixture(scope="module")
def client(stub: StubServer, module_dir: Path) -> Iterator[openai.OpenAI]:
    """A client of a service with one model and one document."""
    folder = module_dir
    entry = '[[models]]\nname = "small"\nprovider = "openai"\nmodel = "gpt-6-luna"\n'
    (folder / "ragopt.toml").write_text(f'{entry}base_url = "{stub.openai_url}"\n', encoding="utf-8")
    with running(folder / "data") as made:
        with made.client() as http:
            http.post("/ingest", json={"documents": [DOCUMENT]}).raise_for_status()
        with openai.OpenAI(base_url=f"{made.url}/v1", api_key=made.key, max_retries=0) as client:
            yield client


def test_system_message_reaches_the_model_behind_our_rules(client: openai.OpenAI, stub: StubServer) -> None:
    """Another system message is another question to the cache; usage is what the provider reported."""
    asked = [{"role": "user", "content": "How long do cats sleep?"}]
    plain = client.chat.completions.create(model="ragopt/small", messages=asked)  # type: ignore[arg-type]
    told = [{"role": "system", "content": "Answer in French."}, *asked]
    french = client.chat.completions.create(model="ragopt/small", messages=told)  # type: ignore[arg-type]
    rules, added = stub.calls[-1].body["messages"][0]["content"]
    assert rules["text"] == SYSTEM
    assert added["text"].endswith("\nAnswer in French.")
    assert french.model_dump()["ragopt"]["cache"]["status"] == "miss"
    for made in (plain, french):
        assert made.usage is not None
        assert made.usage.prompt_tokens > 0
        assert "[1]" in (made.choices[0].message.content or "")


def test_stream_arrives_in_pieces_and_ends_with_its_usage(client: openai.OpenAI) -> None:
    """Every piece is a chunk of its own; what the pieces make is cited."""
    chunks = list(
        client.chat.completions.create(
            model="ragopt/auto",
            messages=[{"role": "user", "content": "Do they purr, cats?"}],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ragopt": {"cache": "off"}},
        )
    )
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens > 0
    texts = [choice.delta.content for chunk in chunks for choice in chunk.choices if choice.delta.content]
    assert len(texts) >= 1
    assert chunks[-2].choices[0].finish_reason == "stop"


def test_models_are_listed_and_one_is_retrieved(client: openai.OpenAI) -> None:
    """The route and the configured model, the latter also by its bare name."""
    assert [model.id for model in client.models.list()] == ["ragopt/auto", "ragopt/small"]
    assert client.models.retrieve("small").id == "ragopt/small"


def test_errors_are_those_that_openai_s_own_api_raises(client: openai.OpenAI) -> None:
    """An unknown model is not found, a wrong field a bad request, a wrong key an authentication error."""
    asked = [{"role": "user", "content": "How long do cats sleep?"}]
    with pytest.raises(openai.NotFoundError) as unknown:
        client.models.retrieve("gpt-9")
    with pytest.raises(openai.NotFoundError) as unasked:
        client.chat.completions.create(model="gpt-9", messages=asked)  # type: ignore[arg-type]
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model="small", messages=asked, max_tokens=0)  # type: ignore[arg-type]
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="wrong").models.list()
    codes = [raised.value.code for raised in (unknown, unasked, wrong, refused)]
    assert codes == ["unknown_model", "unknown_model", "invalid_request", "invalid_api_key"]
    assert wrong.value.param == "max_tokens"
