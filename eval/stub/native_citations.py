"""Anthropic's citations: documents in a request, and an answer whose blocks name where they stand in them.

Source: platform.claude.com, "Citations": plain text documents are cited by characters, half open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from eval.stub.answering import pieces
from eval.stub.asking import BadRequestError, Json, messages_in, parts_of
from ragopt.markers import markers, numbers, without_markers

SENTENCE = re.compile(r".+?(?:[.!?](?=\s|$)\s*|$)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Cited:
    """A block of an answer, and the citations that belong to it."""

    text: str
    citations: tuple[Json, ...]

    def block(self) -> Json:
        """Return the block as it is without streaming."""
        return {"type": "text", "text": self.text, **({"citations": list(self.citations)} if self.citations else {})}


def documents_in(body: Json) -> Iterator[str]:
    """Yield the texts of the documents that are to be cited. Raises: `BadRequestError` if only some are."""
    parts = [part for item in messages_in(body) for part in parts_of(item.get("content"))]
    documents = [part for part in parts if part.get("type") == "document"]
    asked = [part for part in documents if is_asked(part)]
    if asked and len(asked) < len(documents):
        raise BadRequestError("citations must be enabled on all documents or none")
    for part in asked:
        source = part.get("source")
        if not isinstance(source, Mapping) or source.get("type") != "text" or not str(source.get("data", "")).strip():
            raise BadRequestError("documents: a source of type text with data is required")
        yield str(source["data"])


def is_asked(part: Json) -> bool:
    """Return whether a document is to be cited."""
    citations = part.get("citations")
    return isinstance(citations, Mapping) and citations.get("enabled") is True


def cited_blocks(answer: str, documents: Sequence[str]) -> list[Cited]:
    """Return an answer with markers as blocks of one sentence, each marker as a citation of all of that document."""
    blocks = []
    for sentence in SENTENCE.findall(answer):
        named = [number for marker in markers(sentence) for number in numbers(marker)]
        places = [number - 1 for number in named if number <= len(documents)]
        blocks.append(Cited(without_markers(sentence), tuple(location(at, documents[at]) for at in places)))
    return blocks or [Cited("", ())]


def location(at: int, document: str) -> Json:
    """Return the citation of a whole document."""
    return {
        "type": "char_location",
        "cited_text": document,
        "document_index": at,
        "document_title": None,
        "start_char_index": 0,
        "end_char_index": len(document),
    }


def cited_events(blocks: Sequence[Cited]) -> tuple[list[Json], int]:
    """Return the events between the start of the first block and the end of the last, and the index of the last."""
    events: list[Json] = []
    for index, cited in enumerate(blocks):
        if index:
            events.append({"type": "content_block_stop", "index": index - 1})
            events.append(
                {"type": "content_block_start", "index": index, "content_block": {"type": "text", "text": ""}}
            )
        events += [said({"type": "text_delta", "text": piece}, index=index) for piece in pieces(cited.text)]
        events += [said({"type": "citations_delta", "citation": item}, index=index) for item in cited.citations]
    return events, len(blocks) - 1


def said(delta: Json, *, index: int = 0) -> Json:
    """Return a piece of a block as an event."""
    return {"type": "content_block_delta", "index": index, "delta": delta}
