"""Answers as chat completion objects."""

from __future__ import annotations

import json
from dataclasses import replace

from ragopt.api.chat.rendering import Completion, finish_reason, usage_json
from ragopt.domain import Question, Usage
from tests.ragopt.api.fakes import answer

COMPLETION = Completion("chatcmpl-1", "ragopt/auto", 7, "http://here/documents", "pets & co")
WHOLE = answer(Question(text="Is the sky blue?", tenant="acme"))


def test_usage_counts_cached_tokens_among_the_prompt_s() -> None:
    """OpenAI's prompt tokens hold what was read from and written to the cache, ours are disjoint."""
    usage = Usage(input_tokens=10, cached_input_tokens=90, cache_write_tokens=5, output_tokens=7, reasoning_tokens=3)
    assert usage_json(usage) == {
        "prompt_tokens": 105,
        "completion_tokens": 7,
        "total_tokens": 112,
        "prompt_tokens_details": {"cached_tokens": 90},
        "completion_tokens_details": {"reasoning_tokens": 3},
    }


def test_citations_are_annotations_with_an_address_that_can_be_opened() -> None:
    """Offsets are the answer's; id and collection are escaped."""
    cited = replace(WHOLE.citations[0], document_id="a/b", title="")
    (made,) = COMPLETION.annotations([cited])
    assert made["url_citation"] == {
        "start_index": 0,
        "end_index": 19,
        "url": "http://here/documents/a%2Fb?collection=pets+%26+co",
        "title": "a/b",
    }


def test_partial_answer_ends_by_length() -> None:
    """A caller that knows OpenAI's format alone sees that the text is not the whole answer."""
    assert (finish_reason(WHOLE), finish_reason(replace(WHOLE, partial=True))) == ("stop", "length")


def test_extension_holds_what_the_format_has_no_place_for() -> None:
    """Neither the text nor the usage is sent twice."""
    made = COMPLETION.whole(WHOLE, {"id": "ans_1", "answer": "x", "usage": {}, "route": {}})
    assert made["ragopt"] == {"id": "ans_1", "route": {}}
    chunk = json.loads(COMPLETION.closing(WHOLE, {"answer": "x", "cache": {}}).removeprefix(b"data: "))
    assert chunk["ragopt"] == {"cache": {}}
    assert chunk["choices"][0]["finish_reason"] == "stop"
