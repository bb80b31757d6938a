"""What one answer's claims are held to, and what was found: the part of checking that words and JSON share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ragopt.checks import CheckedClaim, Checks
from ragopt.domain import Citation, Passage
from ragopt.privacy.redaction import Redacted
from ragopt.results import Cited, Prepared
from ragopt.settings.collections import Unsupported
from ragopt.settings.facts import FactSettings
from ragopt.stages.cite.claims import Claim
from ragopt.stages.cite.evidence import Units, units_of
from ragopt.stages.cite.facts import contradicted
from ragopt.stages.cite.harm import HarmScreen
from ragopt.stages.cite.judging import Verdict
from ragopt.stages.cite.personal import PersonalScreen
from ragopt.stages.cite.released import ReleaseGuard
from ragopt.telemetry import Trace

# A claim that has these shares of its words in one sentence of the cited passage at most, and of another at least, is
# the other's.
BARELY, NEARLY_ALL = 0.6, 0.8
MISPLACED = 0.02


class Judge(Protocol):
    """Judges claims; `tag` names what with."""

    @property
    def tag(self) -> str:
        """Return the name of model and calibration."""

    async def __call__(self, claims: Sequence[tuple[str, Units]], *, trace: Trace) -> list[Verdict]:
        """Return one verdict per claim beside the units it is held to, in order."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A claim of a sentence with its verdict, and one verdict per passage it cites, in their order."""

    claim: Claim
    verdict: Verdict
    cited: tuple[tuple[Passage, Verdict], ...]

    def moved(self, shown: Redacted) -> Judged:
        """Return it at its place in the sentence as that is released."""
        return replace(self, claim=replace(self.claim, span=shown.moved(self.claim.span)))


@dataclass(slots=True)
class Checking:
    """The checking of one answer. facts: what the operator knows of its collection. harm, personal: its screens."""

    prepared: Prepared
    judge: Judge
    policy: Unsupported
    facts: Sequence[FactSettings]
    harm: HarmScreen
    personal: PersonalScreen
    trace: Trace
    passages: dict[int, Passage] = field(init=False)
    guard: ReleaseGuard = field(init=False)
    citations: list[Citation] = field(default_factory=list)
    claims: list[CheckedClaim] = field(default_factory=list)
    dropped: int = 0
    cut: int = 0
    sentences: int = 0

    def __post_init__(self) -> None:
        """Number the passages."""
        self.passages = {passage.n: passage for passage in self.prepared.context.passages}
        self.guard = ReleaseGuard(self.prepared)

    async def judged(self, claims: Sequence[Claim]) -> list[Judged]:
        """Return the claims with what is said of each: beside every passage it cites, and beside all of them."""
        asked = [(claim.text, self._held_to(numbers)) for claim in claims for numbers in held_to(claim)]
        verdicts = iter(await self.judge(asked, trace=self.trace) if asked else [])
        found = []
        for claim in claims:
            apart = [(self.passages[n], self._placed(claim, n, next(verdicts))) for n in claim.cited]
            joint = apart[0][1] if len(apart) == 1 else next(verdicts)
            found.append(self._known(judged_claim(claim, apart, joint=joint)))
        return found

    async def withholds(self, text: str) -> bool:
        """Return whether a sentence gives harmful content that the policy withholds; counts it as dropped then."""
        withheld = await self.harm.withholds(text)
        self.dropped += withheld
        return withheld

    def is_left_out(self, judged: Sequence[Judged]) -> bool:
        """Return whether the policy leaves out a sentence with these claims."""
        return self.policy != "flag" and any(item.verdict.support == "unsupported" for item in judged)

    async def keep(self, item: Judged, *, offset: int) -> Claim:
        """Keep a claim and its citations; return it at its place in the answer, `offset` characters on."""
        start, end = (place + offset for place in item.claim.span)
        self.claims.append(CheckedClaim(start, end, item.claim.cited, item.verdict.support, item.verdict.score))
        for passage, verdict in item.cited:
            self.citations.append(await self.personal.cited(citation(passage, verdict, start=start, end=end), passage))
        return replace(item.claim, span=(start, end))

    def cited(self, text: str) -> Cited:
        """Return the whole answer with everything that was kept, and note it in the trace."""
        question = self.prepared.question
        unsupported = sum(claim.support == "unsupported" for claim in self.claims)
        self.trace.note(claims=len(self.claims), unsupported=unsupported, dropped=self.dropped, cut=self.cut)
        self.trace.note(links_removed=self.guard.removed, prompt_leaks=self.guard.leaked)
        self.trace.note(harmful_sentences=self.harm.found, withheld=self.harm.withheld)
        if self.personal.policy != "off":
            self.trace.note(personal_data=self.personal.counts.total())
        checks = Checks(
            policy=self.policy,
            judge=self.judge.tag,
            dropped=self.dropped,
            cut=self.cut,
            max_sentences=question.max_sentences,
            sentences=self.sentences,
            max_output_tokens=question.max_output_tokens,
            harmful=self.harm.found,
            withheld=self.harm.withheld,
            personal_data=dict(sorted(self.personal.counts.items())),
        )
        return Cited(text, tuple(self.citations), claims=tuple(self.claims), checks=checks)

    def _known(self, item: Judged) -> Judged:
        """Return the claim, unsupported whatever it cites where it contradicts what the operator knows."""
        if not contradicted(item.claim.text, self.facts):
            return item
        self.trace.note(contradicts_a_fact=True)
        wrong = tuple((passage, replace(own, support="unsupported", score=0.0)) for passage, own in item.cited)
        return Judged(item.claim, replace(item.verdict, support="unsupported", score=0.0), wrong)

    def _placed(self, claim: Claim, n: int, verdict: Verdict) -> Verdict:
        """Return the verdict on a claim beside the passage it cites; unsupported where it is another passage's."""
        if verdict.support == "supported" or self._held_to((n,)).covered(claim.text) >= BARELY:
            return verdict
        if all(self._held_to((other,)).covered(claim.text) < NEARLY_ALL for other in self.passages if other != n):
            return verdict
        return replace(verdict, support="unsupported", score=min(verdict.score, MISPLACED))

    def _held_to(self, numbers: tuple[int, ...]) -> Units:
        """Return the units of the numbered passages, of all of them for ()."""
        return units_of(tuple(self.passages[n] for n in numbers or self.passages))


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
