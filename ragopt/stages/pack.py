"""Ranked hits to numbered passages within a token budget.

Hits are taken whole in rank order, the same text once. The first that does not fit is cut to its
best sentences, and nothing after it is taken: so a bigger budget never loses a passage, and the
budget is never passed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ragopt.domain import PASSAGE_SEPARATOR, SPAN_SEPARATOR, Passage, Span
from ragopt.evidence import sentence_scores
from ragopt.pipeline import RankedHit

CountTokens: TypeAlias = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class Packer:
    """Packs with the tokenizer that budgets are counted in."""

    count_tokens: CountTokens

    async def __call__(
        self, standalone: str, ranked: Sequence[RankedHit], *, budget_tokens: int
    ) -> tuple[Passage, ...]:
        """Return passages whose texts joined by blank lines are at most `budget_tokens` tokens; () if none fits."""
        return await asyncio.to_thread(
            pack, standalone, ranked, budget_tokens=budget_tokens, count_tokens=self.count_tokens
        )


def pack(
    standalone: str, ranked: Sequence[RankedHit], *, budget_tokens: int, count_tokens: CountTokens
) -> tuple[Passage, ...]:
    """Return the passages, numbered from 1 in rank order."""
    passages: list[Passage] = []
    left = budget_tokens
    for ranked_hit in without_repeats(ranked):
        before = passages[-1].text if passages else None
        whole = passage(ranked_hit, ranked_hit.hit.chunk.units, n=len(passages) + 1, count_tokens=count_tokens)
        cost = added_tokens(before, whole, count_tokens)
        if cost <= left:
            passages.append(whole)
            left -= cost
            continue
        part = best_part(standalone, ranked_hit, before=before, left=left, whole=whole, count_tokens=count_tokens)
        if part is not None:
            passages.append(part)
        break
    return tuple(passages)


def without_repeats(ranked: Sequence[RankedHit]) -> Iterator[RankedHit]:
    """Yield the hits in order, each text once: a repetition costs its tokens again and says nothing new."""
    seen: set[str] = set()
    for ranked_hit in ranked:
        text = " ".join(ranked_hit.hit.chunk.text.split())
        if text not in seen:
            seen.add(text)
            yield ranked_hit


def best_part(
    standalone: str,
    ranked_hit: RankedHit,
    *,
    before: str | None,
    left: int,
    whole: Passage,
    count_tokens: CountTokens,
) -> Passage | None:
    """Return the passage of the hit's best sentences that fits `left` tokens, None if not even the best does.

    Sentences are added in the order of their BM25 score until one does not fit.
    """
    units = ranked_hit.hit.chunk.units
    scores = sentence_scores(standalone, [whole.source_text(*unit) for unit in units])
    by_score = sorted(range(len(units)), key=lambda at: -scores[at])
    best: Passage | None = None
    for taken in range(1, len(units)):
        chosen = tuple(units[at] for at in sorted(by_score[:taken]))
        part = passage(ranked_hit, chosen, n=whole.n, count_tokens=count_tokens)
        if added_tokens(before, part, count_tokens) > left:
            break
        best = part
    return best


def passage(ranked_hit: RankedHit, units: Sequence[Span], *, n: int, count_tokens: CountTokens) -> Passage:
    """Return passage `n` made of some units of a hit's chunk, in text order; neighbours share one span."""
    chunk = ranked_hit.hit.chunk
    spans: list[Span] = []
    for start, end in units:
        if spans and not chunk.text[spans[-1][1] - chunk.start : start - chunk.start].strip():
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    text = SPAN_SEPARATOR.join(chunk.text[start - chunk.start : end - chunk.start] for start, end in spans)
    return Passage(
        n=n,
        document_id=chunk.document_id,
        version=chunk.version,
        chunk_id=chunk.id,
        title=chunk.title,
        spans=tuple(spans),
        text=text,
        tokens=count_tokens(text),
        score=ranked_hit.score,
        units=tuple(units),
    )


def added_tokens(before: str | None, added: Passage, count_tokens: CountTokens) -> int:
    """Return how many tokens the joined text grows by when `added` follows a passage of text `before`.

    The tokenizer splits at white space first, so what lies before the last passage cannot change.
    """
    if before is None:
        return added.tokens
    return count_tokens(before + PASSAGE_SEPARATOR + added.text) - count_tokens(before)
