"""What a chat completion request may hold, and the question it asks.

Source: OpenAI API reference, "Create chat completion", as `openai` 3.52 sends it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from ragopt.api.fields import Label, Text
from ragopt.api.schemas import AnswerRequest, TurnIn, Wire
from ragopt.domain import Role

# `ragopt/auto` and `ragopt/<name>` as well as the bare name: front ends list models of several providers together.
MODEL_PREFIX = "ragopt/"
MAX_MESSAGES = 1_000
# What chat front ends send and a service that calls no tools need not read; the response names those that were sent.
IGNORED = frozenset(
    {
        *("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "logit_bias", "store"),
        *("metadata", "parallel_tool_calls", "service_tier", "reasoning_effort", "verbosity", "safety_identifier"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "tools", "functions", "modalities"),
    }
)
# What is harmless at these values and would change the answer at any other.
ONLY: dict[str, tuple[object, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "tool_choice": ("auto", "none"),
    "function_call": ("auto", "none"),
    "modalities": (["text"],),
}


class TextPart(BaseModel):
    """One text part of a message."""

    model_config = ConfigDict(strict=True, frozen=True)
    type: Literal["text"]
    text: Text


class Message(BaseModel):
    """One message. Text only: images, audio and tool results are refused."""

    # Front ends send back what they were given: `name`, `annotations`, `refusal` and fields of their own.
    model_config = ConfigDict(strict=True, frozen=True)
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | list[TextPart]

    @property
    def text(self) -> str:
        """Return the text, parts on lines of their own."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """How a stream ends."""

    model_config = ConfigDict(strict=True, frozen=True)
    include_usage: bool = False


class ChatRequest(BaseModel):
    """A chat completion: the last user message is the question, the messages before it the history.

    `ragopt` takes any field of `POST /answer` that this format has no name for.
    """

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")
    model: Annotated[Text, Field(min_length=1, max_length=512)]
    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    response_format: dict[str, object] | None = None
    user: Label | None = None
    ragopt: dict[str, object] = Field(default_factory=dict)

    @model_validator(mode="after")
    def has_a_question(self) -> ChatRequest:
        """Return the request if it holds a user message and nothing that cannot be served."""
        if not any(message.role == "user" for message in self.messages):
            raise PydanticCustomError("no_question", "A message with the role user is needed: it is the question")
        for name, value in (self.model_extra or {}).items():
            if name in ONLY and value is not None and value not in ONLY[name]:
                raise PydanticCustomError("not_available", "{name}: only {allowed} is served", served(name))
            if name not in IGNORED and name not in ONLY:
                raise PydanticCustomError("unknown_field", "{name}: no such parameter", {"name": name})
        return self

    @property
    def ignored(self) -> list[str]:
        """Return the parameters that were sent and change nothing, sorted."""
        return sorted(name for name, value in (self.model_extra or {}).items() if name in IGNORED and value is not None)

    @property
    def instructions(self) -> str:
        """Return the system and developer messages, a blank line between two; "" for none."""
        return "\n\n".join(message.text for message in self.messages if message.role in ("system", "developer"))

    def question(self) -> AnswerRequest:
        """Return the request as `POST /answer` takes it. Raises: `RequestValidationError` naming a wrong field."""
        spoken = [message for message in self.messages if message.role in ("user", "assistant")]
        last = max(at for at, message in enumerate(spoken) if message.role == "user")
        history = [TurnIn(role=role_of(message), content=message.text) for message in spoken[:last]]
        said: dict[str, object] = {
            "question": spoken[last].text,
            "model": self.model.removeprefix(MODEL_PREFIX),
            "stream": bool(self.stream),
            "max_output_tokens": self.max_completion_tokens or self.max_tokens,
        }
        if history:
            said["history"] = history
        if self.user is not None:
            said["labels"] = {"user": self.user}
        if self.response_format is not None:
            said["response_format"] = format_of(self.response_format)
        try:
            return AnswerRequest.model_validate({**said, **self.ragopt})
        except ValidationError as error:
            raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from None


def served(name: str) -> dict[str, str]:
    """Return what the message about a value that is not served needs."""
    return {"name": name, "allowed": " or ".join(repr(value) for value in ONLY[name])}


def role_of(message: Message) -> Role:
    """Return the role of a message of the history."""
    return "assistant" if message.role == "assistant" else "user"


def format_of(sent: dict[str, object]) -> dict[str, object]:
    """Return OpenAI's `response_format` as `POST /answer` takes it: the schema itself, without name and strictness."""
    wrapped = sent.get("json_schema")
    if sent.get("type") == "json_schema" and isinstance(wrapped, dict) and isinstance(wrapped.get("schema"), dict):
        return {"type": "json_schema", "json_schema": wrapped["schema"]}
    return sent


class ModelOut(Wire):
    """One name that `model` takes."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(Wire):
    """Every name that `model` takes."""

    object: Literal["list"] = "list"
    data: list[ModelOut]
