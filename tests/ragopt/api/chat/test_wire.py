"""Chat completion requests to questions."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from ragopt.api.chat.wire import ChatRequest

ASKED = {"role": "user", "content": "How long do cats sleep?"}


def request(*messages: dict[str, Any], **fields: Any) -> ChatRequest:
    """Return a request as the endpoint reads it."""
    return ChatRequest.model_validate({"model": "ragopt/auto", "messages": [*messages], **fields})


def test_last_user_message_is_the_question_and_what_came_before_the_history() -> None:
    """System and developer messages are instructions, in their order, wherever they stand."""
    made = request(
        {"role": "system", "content": "Answer in French."},
        {"role": "user", "content": "Do cats purr?"},
        {"role": "assistant", "content": "Yes [1].", "annotations": []},
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        ASKED,
    )
    question = made.question()
    assert question.question == "How long do cats sleep?"
    assert [(turn.role, turn.content) for turn in question.history] == [
        ("user", "Do cats purr?"),
        ("assistant", "Yes [1]."),
    ]
    assert made.instructions == "Answer in French.\n\nBe brief."
    assert (question.model, question.stream) == ("auto", False)


def test_fields_of_the_format_and_our_own_reach_the_question() -> None:
    """The newer output limit wins, `user` is a label, `ragopt` holds what OpenAI has no name for."""
    made = request(
        ASKED,
        model="small",
        max_tokens=9,
        max_completion_tokens=7,
        user="ann",
        stream=True,
        ragopt={"collection": "pets", "token_budget": 200, "cache": "off"},
    ).question()
    assert (made.model, made.max_output_tokens, made.stream) == ("small", 7, True)
    assert (made.labels.user, made.collection, made.token_budget, made.cache) == ("ann", "pets", 200, "off")


def test_parameters_that_change_nothing_are_named() -> None:
    """What chat front ends send by habit is taken, and the caller can see that it had no effect."""
    made = request(ASKED, temperature=0.2, top_p=1, n=1, tools=[], seed=None)
    assert made.ignored == ["temperature", "tools", "top_p"]


@pytest.mark.parametrize(
    ("messages", "fields", "said"),
    [
        ([{"role": "system", "content": "x"}], {}, "role user is needed"),
        ([], {}, "at least 1 item"),
        ([ASKED], {"n": 2}, "n: only 1 is served"),
        ([ASKED], {"tool_choice": "required"}, "tool_choice: only 'auto' or 'none'"),
        ([ASKED], {"temprature": 1}, "temprature: no such parameter"),
        ([{"role": "tool", "content": "x", "tool_call_id": "1"}, ASKED], {}, "role"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}], {}, "text"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(
    messages: list[dict[str, Any]], fields: dict[str, Any], said: str
) -> None:
    """No parameter that would change the answer is passed over in silence."""
    with pytest.raises(ValidationError, match=said):
        request(*messages, **fields)


@pytest.mark.parametrize(
    ("ours", "place"),
    [({"token_budget": 0}, ("body", "token_budget")), ({"tenant": "other"}, ("body", "tenant"))],
)
def test_wrong_field_of_ours_is_named(ours: dict[str, Any], place: tuple[str, str]) -> None:
    """The tenant is no field: it comes from the key."""
    with pytest.raises(RequestValidationError) as raised:
        request(ASKED, ragopt=ours).question()
    assert [error["loc"] for error in raised.value.errors()] == [place]


def test_openai_s_schema_format_is_ours_without_its_wrapping() -> None:
    """`json_schema` holds a name and strictness there, the schema alone here; another format stays as it is."""
    with pytest.raises(RequestValidationError) as raised:
        request(ASKED, response_format={"type": "grammar"}).question()
    assert raised.value.errors()[0]["loc"][:2] == ("body", "response_format")
    made = request(ASKED, response_format={"type": "text"}).question()
    assert made.response_format is not None
    assert made.response_format.type == "text"
