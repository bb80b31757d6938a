"""Citation checking of an answer while it streams: markers in range, quotes located in their source.

A marker is `[n]` or `[n, m]`. Markers of no passage are left out of the text before it is released,
so half a marker is held back. A claim is what stands between the end of the sentence or marker
before and its marker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from indexes.invisible import JOINERS, strip_hidden, strip_invisible
from ragopt.domain import Citation, Context, Passage, Span
from ragopt.evidence import overlap, sentence_scores
from ragopt.results import Cited

MARKER = re.compile(r"[ \t]?\[(\d{1,3}(?:\s*,\s*\d{1,3})*)\]")
PARTIAL_MARKER = re.compile(r"[ \t]?(?:\[[\d\s,]{0,24})?$")
SENTENCE_END = re.compile(r"[.!?…](?=\s)|\n")
SPACES = re.compile(r"\s+")


class CitationChecker:
    """The checker of one answer."""

    def __init__(self, context: Context) -> None:
        self._passages = {passage.n: passage for passage in context.passages}
        self._text = ""
        self._held = ""
        self._joiners = ""

    def feed(self, delta: str) -> str:
        """Return what can be released now: whole markers that name a passage, and no hidden characters."""
        # Whether a joiner at the end stays depends on what comes behind it.
        visible = (self._joiners + delta).rstrip(JOINERS)
        self._joiners = (self._joiners + delta)[len(visible) :]
        self._held += strip_hidden(visible, before=(self._held or self._text)[-1:])
        partial = PARTIAL_MARKER.search(self._held)
        cut = partial.start() if partial else len(self._held)
        return self._release(cut)

    def finish(self) -> tuple[str, Cited]:
        """Return the rest to release, and the whole answer with its citations in order of appearance."""
        rest = self._release(len(self._held))
        return rest, Cited(self._text, tuple(self._citations()))

    def _release(self, cut: int) -> str:
        ready, self._held = MARKER.sub(self._known_only, self._held[:cut]), self._held[cut:]
        self._text += ready
        return ready

    def _known_only(self, match: re.Match[str]) -> str:
        return match.group() if all(n in self._passages for n in numbers(match)) else self._rebuilt(match)

    def _rebuilt(self, match: re.Match[str]) -> str:
        known = [str(n) for n in numbers(match) if n in self._passages]
        lead = match.group()[: match.group().index("[")]
        return f"{lead}[{', '.join(known)}]" if known else ""

    def _citations(self) -> Iterator[Citation]:
        start = 0
        claim = (0, 0)
        for match in MARKER.finditer(self._text):
            span = claim_span(self._text, start, match.start())
            # `[1][2]` and `[1]. [2]`: a marker right behind another one cites the same claim.
            claim = span if span[0] < span[1] else claim
            for n in numbers(match):
                yield located(self._passages[n], self._text, claim)
            start = match.end()


def numbers(match: re.Match[str]) -> list[int]:
    """Return the passage numbers of a marker, in order."""
    return [int(part) for part in match.group(1).split(",")]


def claim_span(text: str, start: int, end: int) -> Span:
    """Return the span of the last sentence in `text[start:end]`, without edge white space or leading punctuation."""
    for match in SENTENCE_END.finditer(text, start, end):
        if text[match.end() : end].strip():
            start = match.end()
    while start < end and (text[start].isspace() or text[start] in ".,;:!?"):
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def located(passage: Passage, answer: str, claim: Span) -> Citation:
    """Return the citation of `answer[claim]` by a passage, with the quote that carries it and its offsets.

    A claim that stands word for word in the passage is supported; otherwise the quote is its best
    sentence by BM25 and the support is unchecked, the score the share of the claim's words in it.
    """
    text = answer[claim[0] : claim[1]]
    units = [unit for unit in passage.units if passage.source_text(*unit)]
    quotes = [passage.source_text(*unit) for unit in units]
    verbatim = [at for at, quote in enumerate(quotes) if text and flat(text) in flat(quote)]
    scores = sentence_scores(text, quotes)
    best = verbatim[0] if verbatim else max(range(len(quotes)), key=lambda at: scores[at], default=None)
    found = best is not None and (bool(verbatim) or scores[best] > 0)
    start, end = units[best] if found and best is not None else (None, None)
    quote = quotes[best] if found and best is not None else None
    return Citation(
        n=passage.n,
        document_id=passage.document_id,
        version=passage.version,
        chunk_id=passage.chunk_id,
        title=passage.title,
        answer_start=claim[0],
        answer_end=claim[1],
        source_start=start,
        source_end=end,
        quote=quote,
        support="supported" if verbatim else "unchecked",
        score=1.0 if verbatim else round(overlap(text, quote or ""), 4),
    )


def flat(text: str) -> str:
    """Return `text` for comparing words: invisible characters gone, runs of white space one space, lower case."""
    return SPACES.sub(" ", strip_invisible(text)).strip().casefold()
