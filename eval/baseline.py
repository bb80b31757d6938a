"""A large vendor's default beside ours: 800-token chunks with 400 overlap, the top 5 by the embedding alone.

Source: the default chunking strategy of OpenAI's file search, as its documentation states it and as Smith
and Troynikov, "Evaluating Chunking Strategies for Retrieval", Chroma technical report, 2024, measure it.

Same embedding model and same token counter as ours. The model that ships reads 256 wordpieces and vendors'
models read whole chunks, so that each chunk is embedded twice: cut off where the model stops reading, as
sentence-transformers does, and as the mean of its 200-token parts, read in full. The better of both counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from eval.metrics import Overlap, overlap
from indexes.ingest import TextEncoder
from indexes.records import FloatMatrix, Span
from indexes.tokens import unit_rows
from ragopt.config import Settings
from ragopt.domain import PASSAGE_SEPARATOR
from ragopt.tokens import count_tokens, encoding, slices
from ragopt.wiring import open_embedder

CHUNK_TOKENS = 800
OVERLAP_TOKENS = 400
TOP_K = 5
# A divisor of chunk and overlap, so that parts are shared; fits 256 wordpieces of nearly any text.
PART_TOKENS = 200
EMBEDDED = ("truncated", "mean_of_parts")


@dataclass(frozen=True, slots=True)
class Window:
    """A chunk of the baseline: a span of its document, and the spans of its parts, ascending."""

    document_id: str
    span: Span
    parts: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Sent:
    """What the baseline sends for one question: characters against its reference, and o200k_base tokens."""

    overlap: Overlap
    tokens: int


@dataclass(frozen=True, slots=True)
class Asked:
    """One question: its text, and the spans that answer it by document."""

    text: str
    reference: Mapping[str, Sequence[Span]]


async def sent_by_baseline(
    texts: Mapping[str, str], asked: Sequence[Asked], *, settings: Settings
) -> dict[str, list[Sent]]:
    """Return what the baseline sends for each question, in order, by how its chunks are embedded.

    texts: the documents by id. Raises: `ModelUnavailable`.
    """
    async with open_embedder(settings) as embedder:
        cut = [window for document_id, text in texts.items() for window in windows(document_id, text)]
        questions = np.stack([(await embedder.encode_question(question.text)).dense for question in asked])
        vectors = {
            "truncated": await truncated_vectors(embedder, cut, texts),
            "mean_of_parts": await part_means(embedder, cut, texts),
        }
    return {
        name: [
            sent(asked[row].reference, [cut[at] for at in best], texts)
            for row, best in enumerate(top_rows(questions, rows))
        ]
        for name, rows in vectors.items()
    }


def windows(document_id: str, text: str) -> list[Window]:
    """Return the chunks of a document, each 400 tokens after the one before; [] for an empty text.

    The last one ends with the text and may be shorter; none begins in what the one before already ends.
    """
    edges = token_edges(text)
    tokens = len(edges) - 1
    found = []
    for start in range(0, tokens, CHUNK_TOKENS - OVERLAP_TOKENS):
        end = min(start + CHUNK_TOKENS, tokens)
        steps = [*range(start, end, PART_TOKENS), end]
        parts = tuple((edges[a], edges[b]) for a, b in pairwise(steps) if edges[a] < edges[b])
        found.append(Window(document_id, (edges[start], edges[end]), parts))
        if end == tokens:
            break
    return found


def token_edges(text: str) -> list[int]:
    """Return the code point at which each o200k_base token of a text starts, and the text's length; [0] for ""."""
    edges: list[int] = []
    offset = 0
    for part in slices(text):
        starts = encoding().decode_with_offsets(encoding().encode_ordinary(part))[1]
        edges += [offset + start for start in starts]
        offset += len(part)
    return [*edges, len(text)]


async def truncated_vectors(embedder: TextEncoder, cut: Sequence[Window], texts: Mapping[str, str]) -> FloatMatrix:
    """Return one unit row per window, float32 [n, dim], of as much of it as the model reads."""
    encoded = await embedder.encode([texts[window.document_id][slice(*window.span)] for window in cut])
    return np.stack([item.dense for item in encoded])


async def part_means(embedder: TextEncoder, cut: Sequence[Window], texts: Mapping[str, str]) -> FloatMatrix:
    """Return one unit row per window, float32 [n, dim]: the mean of its parts' unit vectors."""
    places = list(dict.fromkeys((window.document_id, part) for window in cut for part in window.parts))
    encoded = await embedder.encode([texts[document_id][slice(*part)] for document_id, part in places])
    vectors = {place: item.dense for place, item in zip(places, encoded, strict=True)}
    means = [np.mean([vectors[window.document_id, part] for part in window.parts], axis=0) for window in cut]
    return unit_rows(np.stack(means))


def top_rows(questions: FloatMatrix, vectors: FloatMatrix) -> list[list[int]]:
    """Return for each question the 5 rows of highest cosine, best first, of equal ones the earlier."""
    return [[int(at) for at in np.argsort(-scores, kind="stable")[:TOP_K]] for scores in questions @ vectors.T]


def sent(reference: Mapping[str, Sequence[Span]], best: Sequence[Window], texts: Mapping[str, str]) -> Sent:
    """Return what the windows cover, each sent whole even where two overlap, counted as our contexts are."""
    spans: dict[str, list[Span]] = {}
    for window in best:
        spans.setdefault(window.document_id, []).append(window.span)
    written = PASSAGE_SEPARATOR.join(texts[window.document_id][slice(*window.span)] for window in best)
    return Sent(overlap(spans, reference), count_tokens(written))
