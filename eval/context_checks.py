"""What must hold of every context, checked against the stored documents: a breach is a failure, not a score."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ragopt.domain import Context, Passage
from ragopt.tokens import count_tokens

GAP = " … "


def context_problems(context: Context, texts: Mapping[str, str]) -> Iterator[str]:
    """Yield one sentence for each breach of the contract; `texts` are the stored documents by id.

    Tokens within the budget and counted right; passages numbered from 1; spans ascending, disjoint and
    inside their document; a passage's text exactly its spans of the document joined by ` … `.
    """
    counted = count_tokens("\n\n".join(passage.text for passage in context.passages)) if context.passages else 0
    if counted != context.tokens:
        yield f"says {context.tokens} tokens, has {counted}"
    if max(counted, context.tokens) > context.token_budget:
        yield f"{max(counted, context.tokens)} tokens are over the budget of {context.token_budget}"
    for n, passage in enumerate(context.passages, start=1):
        if passage.n != n:
            yield f"passage {n} carries the number {passage.n}"
        yield from (f"passage {n}: {problem}" for problem in passage_problems(passage, texts))


def passage_problems(passage: Passage, texts: Mapping[str, str]) -> Iterator[str]:
    """Yield one sentence for each way in which a passage is not a part of its document."""
    text = texts.get(passage.document_id)
    if text is None:
        yield f"document {passage.document_id!r} is not stored"
        return
    edges = [edge for span in passage.spans for edge in span]
    ascending = all(a < b for a, b in passage.spans) and edges == sorted(edges)
    if not edges or not ascending or edges[0] < 0 or edges[-1] > len(text):
        yield f"spans {passage.spans} are not ascending spans of a text of {len(text)} characters"
    elif passage.text != GAP.join(text[start:end] for start, end in passage.spans):
        yield f"{passage.text[:60]!r} is not what document {passage.document_id!r} has at {passage.spans}"
