"""An answer as OpenAI's chat completion objects, whole or in chunks: pure.

Source: OpenAI API reference, "The chat completion object" and "The chat completion chunk object".
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from ragopt.domain import Answer, Citation, Usage

Json = dict[str, object]
DONE = b"data: [DONE]\n\n"
EXTENSION_LEFT_OUT = frozenset({"answer", "usage"})


@dataclass(frozen=True, slots=True)
class Completion:
    """What every object of one completion shares.

    model: as it was asked for. created: Unix seconds. documents_url: where a citation's document is read, the
    document's id left out. collection: of those documents.
    """

    id: str
    model: str
    created: int
    documents_url: str
    collection: str

    def whole(self, answer: Answer, extension: Mapping[str, object]) -> Json:
        """Return the completion; `extension` is what `POST /answer` would have said."""
        message: Json = {
            "role": "assistant",
            "content": answer.text,
            "refusal": None,
            "annotations": self.annotations(answer.citations),
        }
        choice: Json = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish_reason(answer)}
        return {
            **self._head("chat.completion"),
            "choices": [choice],
            "usage": usage_json(answer.usage),
            "ragopt": extended(extension),
        }

    def opening(self) -> bytes:
        """Return the first chunk: the role, no text yet."""
        return self._chunk({"role": "assistant", "content": ""}, None)

    def text(self, text: str) -> bytes:
        """Return a chunk of text."""
        return self._chunk({"content": text}, None)

    def closing(self, answer: Answer, extension: Mapping[str, object]) -> bytes:
        """Return the last chunk of the choice: the annotations, why it ended, and what `POST /answer` says beside."""
        delta: Json = {"annotations": self.annotations(answer.citations)}
        return self._chunk(delta, finish_reason(answer), {"ragopt": extended(extension)})

    def usage(self, answer: Answer) -> bytes:
        """Return the chunk of `stream_options.include_usage`: no choice."""
        return event({**self._head("chat.completion.chunk"), "choices": [], "usage": usage_json(answer.usage)})

    def annotations(self, citations: Sequence[Citation]) -> list[Json]:
        """Return the citations as `url_citation`s; offsets are code points of the text, the URL is the document's."""
        return [{"type": "url_citation", "url_citation": self._annotation(item)} for item in citations]

    def _annotation(self, citation: Citation) -> Json:
        address = f"{self.documents_url}/{quote(citation.document_id, safe='')}"
        return {
            "start_index": citation.answer_start,
            "end_index": citation.answer_end,
            "url": f"{address}?{urlencode({'collection': self.collection})}",
            "title": citation.title or citation.document_id,
        }

    def _head(self, kind: str) -> Json:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model}

    def _chunk(self, delta: Json, finish: str | None, more: Mapping[str, object] | None = None) -> bytes:
        choice: Json = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return event({**self._head("chat.completion.chunk"), "choices": [choice], **(more or {})})


def event(content: Mapping[str, object]) -> bytes:
    """Return one event of the stream: unnamed, as OpenAI's are."""
    return b"data: " + json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


def extended(extension: Mapping[str, object]) -> Json:
    """Return what rides under `ragopt`: all of `POST /answer`'s object that this format has no place for."""
    return {name: value for name, value in extension.items() if name not in EXTENSION_LEFT_OUT}


def finish_reason(answer: Answer) -> str:
    """Return why the text ended: `length` where it is not the whole answer."""
    return "length" if answer.partial else "stop"


def usage_json(usage: Usage) -> Json:
    """Return what the providers reported, summed over the answer's calls; nothing for an answer from the cache.

    OpenAI's `prompt_tokens` hold the cached ones, ours are disjoint.
    """
    total = usage.total_input_tokens
    return {
        "prompt_tokens": total,
        "completion_tokens": usage.output_tokens,
        "total_tokens": total + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_input_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }
