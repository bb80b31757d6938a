"""One answer while it streams: pieces in, whole checked sentences with their citations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from indexes.invisible import JOINERS, strip_hidden
from ragopt.domain import CheckedClaim, Citation, Passage
from ragopt.markers import rewritten
from ragopt.pipeline import ABSTENTION
from ragopt.reading import AnswerReader, Piece
from ragopt.results import Cited, Prepared
from ragopt.settings.collections import CollectionSettings, Unsupported, collection_settings
from ragopt.stages.cite.claims import Claim, claims_of
from ragopt.stages.cite.evidence import Units, units_of
from ragopt.stages.cite.judging import Verdict
from ragopt.telemetry import Trace

# A claim that has these shares of its words in one sentence of the cited passage at most, and of another at least, is
# the other's.
BARELY, NEARLY_ALL = 0.6, 0.8
MISPLACED = 0.02


class Judge(Protocol):
    """Judges claims."""

    async def __call__(self, claims: Sequence[tuple[str, Units]], *, trace: Trace) -> list[Verdict]:
        """Return one verdict per claim beside the units it is held to, in order."""


@dataclass(frozen=True, slots=True)
class CitationChecking:
    """Opens a checker per answer; satisfies `ragopt.ports.Cite`. collections: the policies."""

    judge: Judge
    collections: Sequence[CollectionSettings] = ()

    def __call__(self, prepared: Prepared, *, trace: Trace) -> CitationChecker:
        """Return the checker of an answer to `prepared`."""
        question = prepared.question
        found = collection_settings(self.collections, tenant=question.tenant, collection=question.collection)
        return CitationChecker(prepared, self.judge, policy=found.unsupported, trace=trace)


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim of a sentence with its verdict, and one verdict per passage it cites, in their order."""

    claim: Claim
    verdict: Verdict
    cited: tuple[tuple[Passage, Verdict], ...]


class CitationChecker:
    """The checker of one answer; satisfies `ragopt.ports.CiteStream`.

    Where the policy is not to flag, a sentence with an unsupported claim is left out. Offsets are into the text that
    was released, so nothing that follows moves them.
    """

    def __init__(self, prepared: Prepared, judge: Judge, *, policy: Unsupported, trace: Trace) -> None:
        self._judge = judge
        self._policy = policy
        self._trace = trace
        self._passages = {passage.n: passage for passage in prepared.context.passages}
        self._units: dict[tuple[int, ...], Units] = {}
        self._reader = AnswerReader()
        self._text = ""
        self._joiners = ""
        self._seen = ""
        self._last: Claim | None = None
        self._citations: list[Citation] = []
        self._claims: list[CheckedClaim] = []
        self._dropped = 0

    async def feed(self, delta: str) -> str:
        """Return the sentences that are whole now, checked, their markers in one form and no hidden characters."""
        # Whether a joiner at the end stays depends on what comes behind it.
        visible = (self._joiners + delta).rstrip(JOINERS)
        self._joiners = (self._joiners + delta)[len(visible) :]
        shown = strip_hidden(visible, before=self._seen)
        self._seen = (self._seen + shown)[-1:]
        return await self._released(self._reader.feed(shown))

    async def finish(self) -> tuple[str, Cited]:
        """Return the rest to release, and the whole answer with its citations in order of appearance."""
        rest = await self._released(self._reader.finish())
        if self._dropped and not self._text.strip():
            rest = self._text = ABSTENTION
        cited = Cited(self._text, tuple(self._citations), claims=tuple(self._claims), dropped=self._dropped)
        return rest, cited

    async def _released(self, pieces: Sequence[Piece]) -> str:
        """Return what of the pieces is released, and keep it."""
        before = len(self._text)
        with self._trace.stage("cite"):
            for piece in pieces:
                self._text += await self._checked(piece)
        return self._text[before:]

    async def _checked(self, piece: Piece) -> str:
        """Return a piece as it is released, "" if it is left out; keep its claims and citations."""
        text = piece.text if piece.code else rewritten(piece.text, self._passages)
        if piece.code or text.strip() == ABSTENTION:
            return text
        before = self._last and replace(self._last, span=self._relative(self._last))
        judged = await self._judged(claims_of(text, before=before))
        if self._policy != "flag" and any(item.verdict.support == "unsupported" for item in judged):
            self._dropped += 1
            self._last = None
            return ""
        for item in judged:
            self._keep(item)
        return text

    def _relative(self, claim: Claim) -> tuple[int, int]:
        """Return the span of an earlier claim in the offsets of the next piece."""
        return claim.span[0] - len(self._text), claim.span[1] - len(self._text)

    async def _judged(self, claims: Sequence[Claim]) -> list[Judged]:
        """Return the claims with what is said of each: beside every passage it cites, and beside all of them."""
        asked = [(claim.text, self._held_to(numbers)) for claim in claims for numbers in held_to(claim)]
        verdicts = iter(await self._judge(asked, trace=self._trace) if asked else [])
        found = []
        for claim in claims:
            apart = [(self._passages[n], self._placed(claim, n, next(verdicts))) for n in claim.cited]
            joint = apart[0][1] if len(apart) == 1 else next(verdicts)
            found.append(judged_claim(claim, apart, joint=joint))
        return found

    def _placed(self, claim: Claim, n: int, verdict: Verdict) -> Verdict:
        """Return the verdict on a claim beside the passage it cites; unsupported where it is another passage's."""
        if verdict.support == "supported" or self._held_to((n,)).covered(claim.text) >= BARELY:
            return verdict
        if all(self._held_to((other,)).covered(claim.text) < NEARLY_ALL for other in self._passages if other != n):
            return verdict
        return replace(verdict, support="unsupported", score=min(verdict.score, MISPLACED))

    def _held_to(self, numbers: tuple[int, ...]) -> Units:
        """Return the units of the numbered passages, of all of them for ()."""
        if numbers not in self._units:
            self._units[numbers] = units_of(tuple(self._passages[n] for n in numbers or self._passages))
        return self._units[numbers]

    def _keep(self, item: Judged) -> None:
        start, end = (place + len(self._text) for place in item.claim.span)
        self._last = replace(item.claim, span=(start, end))
        self._claims.append(CheckedClaim(start, end, item.claim.cited, item.verdict.support, item.verdict.score))
        for passage, verdict in item.cited:
            self._citations.append(citation(passage, verdict, start=start, end=end))


def held_to(claim: Claim) -> list[tuple[int, ...]]:
    """Return which passages a claim is judged beside: each it cites, then all of those; () is the whole context."""
    return [(n,) for n in claim.cited] + ([claim.cited] if len(claim.cited) != 1 else [])


def judged_claim(claim: Claim, apart: Sequence[tuple[Passage, Verdict]], *, joint: Verdict) -> Judged:
    """Return a claim with its verdict: the best of any passage it cites; what they say together where none suffices.

    Together they may carry what none does alone: then each citation is as supported as the whole.
    """
    best = max((verdict for _, verdict in apart), key=lambda verdict: verdict.score, default=joint)
    if best.support == "supported" or joint.score <= best.score:
        return Judged(claim, best, tuple(apart))
    together = tuple((passage, replace(own, support=joint.support, score=joint.score)) for passage, own in apart)
    return Judged(claim, joint, together)


def citation(passage: Passage, verdict: Verdict, *, start: int, end: int) -> Citation:
    """Return the citation of the answer's [start, end) by a passage, with the quote that carries it, if any."""
    evidence = verdict.evidence
    return Citation(
        n=passage.n,
        document_id=passage.document_id,
        version=passage.version,
        chunk_id=passage.chunk_id,
        title=passage.title,
        answer_start=start,
        answer_end=end,
        source_start=evidence.span[0] if evidence else None,
        source_end=evidence.span[1] if evidence else None,
        quote=evidence.quote if evidence else None,
        support=verdict.support,
        score=verdict.score,
    )
