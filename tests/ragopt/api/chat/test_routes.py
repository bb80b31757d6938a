"""The official `openai` client against the HTTP layer over a real socket."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from ragopt.config import Settings
from ragopt.domain import Turn
from ragopt.errors import BudgetSpent, IncompleteStream
from ragopt.settings.models import ModelSettings
from tests.ragopt.api.fakes import KEY, FakeService, Served, served

SYSTEM = "Answer like a pirate."
MODELS = (ModelSettings(name="small", provider="extractive"),)


@pytest.fixture(scope="module")
def http() -> Iterator[Served]:
    """A service with one configured model."""
    with served(FakeService(settings=Settings(models=MODELS))) as made:
        yield made


@pytest.fixture(autouse=True)
def fresh(http: Served) -> None:
    """Nothing of another test is left."""
    http.service.reset()


@pytest.fixture
def client(http: Served) -> Iterator[openai.OpenAI]:
    """The official client, pointed at the service."""
    with openai.OpenAI(base_url=f"{http.url}/v1", api_key=KEY, max_retries=0) as made:
        yield made


def test_completion_is_what_the_client_s_types_expect(http: Served, client: openai.OpenAI) -> None:
    """Text, annotations, usage, reason and id; the whole of our own answer rides under `ragopt`."""
    made = client.chat.completions.create(
        model="ragopt/small",
        messages=[
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Ahoy"},
            {"role": "user", "content": "Is the sky blue?"},
        ],
        temperature=0.3,
        user="ann",
        extra_body={"ragopt": {"collection": "sky"}},
    )
    (asked,) = http.service.pipeline.asked
    assert (asked.text, asked.instructions, asked.history) == (
        "Is the sky blue?",
        SYSTEM,
        (Turn("user", "Hello"), Turn("assistant", "Ahoy")),
    )
    assert (asked.tenant, asked.collection, asked.model, asked.labels) == ("acme", "sky", "small", {"user": "ann"})
    (choice,) = made.choices
    assert choice.message.content == "The sky is blue [1]. Grass is green [1]."
    assert choice.finish_reason == "stop"
    assert [note.url_citation.end_index for note in choice.message.annotations or []] == [19, 39]
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens, made.usage.total_tokens) == (0, 12, 12)
    assert (made.model, made.object, made.id) == ("ragopt/small", "chat.completion", f"chatcmpl-{asked.answer_id}")
    extension = made.model_dump()["ragopt"]
    assert extension["ignored_parameters"] == ["temperature"]
    assert extension["context"]["passages"][0]["document_id"] == "document-1"


def test_stream_reads_as_the_whole_completion_does(http: Served, client: openai.OpenAI) -> None:
    """Role first, text in pieces, annotations with the end, usage last and only because it was asked for."""
    chunks = list(
        client.chat.completions.create(
            model="ragopt/auto",
            messages=[{"role": "user", "content": "Is the sky blue?"}],
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert text_of(chunks) == "The sky is blue [1]. Grass is green [1]."
    last, usage = chunks[-2], chunks[-1]
    assert last.choices[0].finish_reason == "stop"
    assert len(last.model_dump()["choices"][0]["delta"]["annotations"]) == 2
    assert last.model_dump()["ragopt"]["cache"]["status"] == "miss"
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens == 12
    assert len({chunk.id for chunk in chunks}) == 1
    assert len(http.service.accounts.ledger.written) == 1


def text_of(chunks: list[ChatCompletionChunk]) -> str:
    """Return the text of a stream."""
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def test_no_usage_comes_that_was_not_asked_for(client: openai.OpenAI) -> None:
    """Without `include_usage` every chunk has a choice."""
    asked = [{"role": "user", "content": "Is the sky blue?"}]
    stream = client.chat.completions.create(model="small", messages=asked, stream=True)  # type: ignore[call-overload]
    assert all(chunk.choices for chunk in stream)


def test_models_are_listed_and_found(client: openai.OpenAI) -> None:
    """Every listed name is one that `model` takes, with the prefix or without."""
    assert [model.id for model in client.models.list()] == ["ragopt/auto", "ragopt/small"]
    assert client.models.retrieve("small").id == "ragopt/small"
    with pytest.raises(openai.NotFoundError, match="ragopt/auto"):
        client.models.retrieve("gpt-9")


@pytest.mark.parametrize(
    ("fields", "kind", "told"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, ("unknown_model", None)),
        ({"n": 2}, openai.BadRequestError, ("invalid_request", None)),
        ({"extra_body": {"ragopt": {"top_k": 0}}}, openai.BadRequestError, ("invalid_request", "top_k")),
    ],
)
def test_errors_come_in_openai_s_envelope(
    client: openai.OpenAI, fields: dict[str, object], kind: type[openai.APIStatusError], told: tuple[str, str | None]
) -> None:
    """The client raises what it raises at OpenAI, with our stable code and the field that is wrong."""
    with pytest.raises(kind) as raised:
        client.chat.completions.create(  # type: ignore[call-overload]
            **{"model": "ragopt/auto", "messages": [{"role": "user", "content": "x"}], **fields}
        )
    assert (raised.value.code, raised.value.param) == told


def test_wrong_key_and_spent_budget_are_the_client_s_own_errors(http: Served, client: openai.OpenAI) -> None:
    """401 is an AuthenticationError; a spent budget says so by type and code."""
    with pytest.raises(openai.AuthenticationError) as refused:
        client.with_options(api_key="wrong").models.list()
    assert refused.value.code == "invalid_api_key"
    http.service.pipeline.refusal = BudgetSpent("spent")
    with pytest.raises(openai.APIStatusError) as spent:
        client.chat.completions.create(model="auto", messages=[{"role": "user", "content": "x"}])
    assert (spent.value.status_code, spent.value.type, spent.value.code) == (402, "insufficient_quota", "budget_spent")


def test_error_after_the_first_text_is_raised_by_the_client(http: Served, client: openai.OpenAI) -> None:
    """A stream that breaks never looks like a whole answer."""
    http.service.pipeline.failure = IncompleteStream("cut off")
    asked = [{"role": "user", "content": "x"}]
    stream = client.chat.completions.create(model="auto", messages=asked, stream=True)  # type: ignore[call-overload]
    seen: list[ChatCompletionChunk] = []
    with pytest.raises(openai.APIError, match="cut off"):
        seen.extend(stream)
    assert text_of(seen) == "The sky is blue [1]."
