"""Chosen units to passages: whole spans, in an order that a reader can follow, counted exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from indexes.records import StoredChunk
from ragopt.domain import PASSAGE_SEPARATOR, SPAN_SEPARATOR, Passage, Span
from ragopt.results import RankedHit
from ragopt.stages.pack.values import Unit, unit_text

# White space between one chunk and the next is at most this long, as good as always.
GAP_CHARS = 8


# " … " has two tokens, a blank line one, and a word behind a space may have one more than alone.
SEPARATOR_TOKENS = 4


class PassageBuilder:
    """Builds and counts passages of some hits; what was counted once is not counted again."""

    def __init__(self, hits: Sequence[RankedHit], count_tokens: Callable[[str], int]) -> None:
        self._hits = hits
        self._count_tokens = count_tokens
        self._counted: dict[str, int] = {}

    def count(self, text: str) -> int:
        """Return the tokens of a text."""
        if text not in self._counted:
            self._counted[text] = self._count_tokens(text)
        return self._counted[text]

    def tokens(self, units: Sequence[Unit]) -> int:
        """Return the tokens of the passages of these units, joined by blank lines.

        The tokenizer splits at white space first, so passages are counted one by one.
        """
        texts = [self._text(hit, spans) for hit, spans in self._spans(units)]
        return sum(self.count(text + PASSAGE_SEPARATOR) for text in texts[:-1]) + sum(self.count(t) for t in texts[-1:])

    def most_tokens(self, unit: Unit) -> int:
        """Return a bound on what one more unit adds, quick to tell: its own tokens and those of a separator."""
        return self.count(unit_text(self._hits[unit.hit], unit.at)) + SEPARATOR_TOKENS

    def passages(self, units: Sequence[Unit]) -> tuple[Passage, ...]:
        """Return the passages of these units, numbered from 1; units of one chunk share a passage."""
        return tuple(
            self._passage(n, hit, tuple(self._hits[hit].hit.chunk.units[unit.at] for unit in group))
            for n, (hit, group) in enumerate(self._chunks(units), start=1)
        )

    def _passage(self, n: int, hit: int, units: tuple[Span, ...]) -> Passage:
        chunk = self._hits[hit].hit.chunk
        spans = self._joined(hit, units)
        text = self._text(hit, spans)
        return Passage(
            n=n,
            document_id=chunk.document_id,
            version=chunk.version,
            chunk_id=chunk.id,
            title=chunk.title,
            spans=spans,
            text=text,
            tokens=self.count(text),
            score=self._hits[hit].score,
            units=units,
        )

    def _spans(self, units: Sequence[Unit]) -> list[tuple[int, tuple[Span, ...]]]:
        return [
            (hit, self._joined(hit, [self._hits[hit].hit.chunk.units[unit.at] for unit in group]))
            for hit, group in self._chunks(units)
        ]

    def _chunks(self, units: Sequence[Unit]) -> list[tuple[int, list[Unit]]]:
        """Return the units by hit, each in text order.

        Best first, but chunks that follow on one another stand together, in text order, where the best of them would.
        """
        by_hit: dict[int, list[Unit]] = {}
        for unit in units:
            by_hit.setdefault(unit.hit, []).append(unit)
        chunks = {hit: self._hits[hit].hit.chunk for hit in by_hit}
        runs: list[list[int]] = []
        for hit in sorted(by_hit, key=lambda hit: (chunks[hit].document_id, chunks[hit].start)):
            if runs and follows(chunks[hit], chunks[runs[-1][-1]]):
                runs[-1].append(hit)
            else:
                runs.append([hit])
        place = {hit: order for order, hit in enumerate(by_hit)}
        runs.sort(key=lambda run: min(place[hit] for hit in run))
        return [(hit, sorted(by_hit[hit], key=lambda unit: unit.at)) for run in runs for hit in run]

    def _joined(self, hit: int, units: Sequence[Span]) -> tuple[Span, ...]:
        """Return the spans of units in text order; neighbours with nothing but white space between share one."""
        chunk = self._hits[hit].hit.chunk
        spans: list[Span] = []
        for start, end in units:
            if spans and not chunk.text[spans[-1][1] - chunk.start : start - chunk.start].strip():
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((start, end))
        return tuple(spans)

    def _text(self, hit: int, spans: Sequence[Span]) -> str:
        chunk = self._hits[hit].hit.chunk
        return SPAN_SEPARATOR.join(chunk.text[start - chunk.start : end - chunk.start] for start, end in spans)


def follows(chunk: StoredChunk, before: StoredChunk) -> bool:
    """Return whether a chunk is the next of its document after `before`, which starts earlier."""
    return chunk.document_id == before.document_id and chunk.start - before.end <= GAP_CHARS
