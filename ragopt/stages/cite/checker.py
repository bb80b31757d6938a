"""One answer while it streams: pieces in, whole checked sentences with their citations out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from indexes.invisible import JOINERS, strip_hidden
from ragopt.evidence import words
from ragopt.harmful.detector import HarmfulDetector
from ragopt.markers import rewritten
from ragopt.pipeline import ABSTENTION
from ragopt.ports import CiteStream
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.reading import AnswerReader, Piece
from ragopt.results import Cited, Prepared
from ragopt.settings.collections import CollectionSettings, collection_settings
from ragopt.settings.facts import FactSettings
from ragopt.stages.cite.checking import Checking, Judge, Judged
from ragopt.stages.cite.claims import Claim, claims_of
from ragopt.stages.cite.harm import HarmScreen
from ragopt.stages.cite.personal import PersonalScreen
from ragopt.stages.cite.structured import JsonChecker
from ragopt.telemetry import Trace


@dataclass(frozen=True, slots=True)
class CitationChecking:
    """Opens a checker per answer; satisfies `ragopt.ports.Cite`. collections: the policies; none: every one flags.

    harmful: finds sentences that give harmful content; None where they are not looked for. recognisers: find personal
    data.
    """

    judge: Judge
    collections: Sequence[CollectionSettings] = ()
    facts: Sequence[FactSettings] = ()
    harmful: HarmfulDetector | None = None
    recognisers: Recognisers = OWN

    def __call__(self, prepared: Prepared, *, trace: Trace) -> CiteStream:
        """Return the checker of an answer to `prepared`."""
        tenant, collection = prepared.question.tenant, prepared.question.collection
        found = collection_settings(self.collections, tenant=tenant, collection=collection)
        facts = [fact for fact in self.facts if fact.covers(tenant=tenant, collection=collection)]
        harm = HarmScreen(self.harmful, found, trace)
        personal = PersonalScreen(found.personal_data, self.recognisers)
        checking = Checking(
            prepared, self.judge, found.unsupported, facts=facts, harm=harm, personal=personal, trace=trace
        )
        return JsonChecker(checking) if prepared.question.answer_schema else CitationChecker(checking)


class CitationChecker:
    """The checker of one answer in words; satisfies `ragopt.ports.CiteStream`.

    Where the policy is not to flag, a sentence with an unsupported claim is left out, and so are those beyond
    `max_sentences`, and those with harmful content where the policy withholds it; always what repeats the prompt, and
    addresses that the sources lack. Personal data is replaced where the policy says so, once the claims are judged.
    Offsets are into the text that was released, so nothing that follows moves them.
    """

    def __init__(self, checking: Checking) -> None:
        self._checking = checking
        self._reader = AnswerReader()
        self._text = ""
        self._joiners = ""
        self._seen = ""
        self._last: Claim | None = None

    async def feed(self, delta: str) -> str:
        """Return the sentences that are whole now, checked, their markers in one form and no hidden characters."""
        # Whether a joiner at the end stays depends on what comes behind it.
        visible = (self._joiners + delta).rstrip(JOINERS)
        self._joiners = (self._joiners + delta)[len(visible) :]
        shown = strip_hidden(visible, before=self._seen)
        self._seen = (self._seen + shown)[-1:]
        return await self._released(self._reader.feed(shown))

    async def finish(self) -> tuple[str, Cited]:
        """Return the rest to release, and the whole answer with its citations in order of appearance.

        An answer of which every sentence was left out is the abstention.
        """
        rest = await self._released(self._reader.finish())
        if self._checking.dropped and not self._text.strip():
            rest = self._text = ABSTENTION
        return rest, self._checking.cited(self._text)

    async def _released(self, pieces: Sequence[Piece]) -> str:
        """Return what of the pieces is released, and keep it with its claims and citations."""
        before, checking = len(self._text), self._checking
        with checking.trace.stage("cite"):
            for piece in pieces:
                text = self._cleaned(piece)
                judged = await self._judged(text, code=piece.code)
                if judged is None:
                    checking.personal.passed(text)
                    continue
                shown = await checking.personal.released(text)
                for item in judged if shown.text else ():
                    self._last = await checking.keep(item.moved(shown), offset=len(self._text))
                self._text += shown.text
        return self._text[before:]

    def _cleaned(self, piece: Piece) -> str:
        """Return a piece with its markers in one form and without addresses that the sources lack."""
        checking = self._checking
        text = piece.text if piece.code else rewritten(piece.text, checking.passages)
        return checking.guard.cleaned(text, checking.passages, code=piece.code)

    async def _judged(self, text: str, *, code: bool) -> list[Judged] | None:
        """Return the judged claims of a piece that is released, [] for none; None for one that is left out."""
        checking = self._checking
        if checking.guard.leaks(text):
            checking.dropped += 1
            self._last = None
            return None
        limit = checking.prepared.question.max_sentences
        counts = not code and bool(words(text))
        if limit is not None and checking.sentences >= limit:
            checking.cut += counts
            # A marker behind the last sentence still belongs to it.
            return None if counts or code else []
        if await checking.withholds(text):
            self._last = None
            return None
        if code or text.strip() == ABSTENTION:
            checking.sentences += counts
            return []
        before = self._last and replace(self._last, span=self._relative(self._last))
        judged = await checking.judged(claims_of(text, before=before))
        if checking.is_left_out(judged):
            checking.dropped += 1
            self._last = None
            return None
        checking.sentences += counts
        return judged

    def _relative(self, claim: Claim) -> tuple[int, int]:
        """Return the span of an earlier claim in the offsets of the next piece."""
        return claim.span[0] - len(self._text), claim.span[1] - len(self._text)
