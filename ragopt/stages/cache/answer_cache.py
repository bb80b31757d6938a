"""The response cache: the same question again, or in other words, over sources that are as they were.

Optional by design. Redis, the index of questions or the verifier being down, late or wrong makes a
miss, never an error and never a wrong answer: whatever is served was checked when it was read.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace

from indexes.errors import CollectionNotFound, IndexingError
from indexes.records import EncodedQuestion, Revision
from ragopt.domain import Answer, CacheOutcome, Context, Question
from ragopt.ports import Embed
from ragopt.results import Kept, Looked, Prepared
from ragopt.stages.cache.acceptance import Acceptance
from ragopt.stages.cache.agreement import agree
from ragopt.stages.cache.entries import Place, RedisEntries
from ragopt.stages.cache.entry import Entry
from ragopt.stages.cache.freshness import Sources, Standing, rests_on_nothing_newer, standing
from ragopt.stages.cache.guard import Allowance, Skipped
from ragopt.stages.cache.keeping import Keeping
from ragopt.stages.cache.key import EntryKey, Keys
from ragopt.stages.cache.learning import Learning
from ragopt.stages.cache.levels import Known
from ragopt.stages.cache.similar import Candidate, Near, SimilarQuestions
from ragopt.state.labels import Label
from ragopt.telemetry import Trace

# Nobody waits for an answer to be kept.
KEPT_WITHIN_S = 1.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One question under way: its standalone words, its key, and what Redis may still take."""

    question: Question
    standalone: str
    key: EntryKey
    allowance: Allowance

    @property
    def scope(self) -> tuple[str, str]:
        """Return whose collection is asked, and which."""
        return self.key.tenant, self.key.collection


@dataclass(frozen=True, slots=True)
class Found:
    """An entry that may be served, at once where it holds, after a look at a fresh context where it is doubtful."""

    kept: Kept
    standing: Standing

    def served(self) -> Looked:
        """Return it as what there is for the question."""
        return Looked(answer=self.kept.answer) if self.standing == "holds" else Looked(doubtful=self.kept)


@dataclass(frozen=True, slots=True)
class ResponseCache:
    """Answers by everything that decides them; satisfies `ragopt.ports.AnswerCache`.

    similar: None where only the same words are served. shadow_share: of what could be served to other words, the
    share that is answered freshly instead, to compare. drawn: random numbers in [0, 1) for that. keeping: answers on
    their way into the cache.
    """

    keys: Keys
    entries: RedisEntries
    sources: Sources
    embed: Embed
    similar: SimilarQuestions | None = None
    shadow_share: float = 0.02
    drawn: Callable[[], float] = random.random
    learning: Learning = field(default_factory=Learning)
    keeping: Keeping = field(default_factory=Keeping)

    def entry(self, question: Question, standalone: str) -> str:
        """Return the id of the entry that an answer to this question has."""
        return self.keys.of(question, standalone).id

    async def look(
        self, question: Question, standalone: str, *, encoding: Awaitable[EncodedQuestion], trace: Trace
    ) -> Looked:
        """Return what there is for the question; an exact hit does not wait for `encoding`.

        An answer to it that this process is just keeping is waited for: who asks again gets it.
        """
        asked = self._asked(question, standalone, self.entries.guard.allowance())
        await self.keeping.written(asked.key.id, allowance=asked.allowance)
        with optional(trace):
            now, entry = await asyncio.gather(
                self.sources.revision(question.tenant, question.collection),
                self.entries.get(Place.of(asked.key), asked.key, allowance=asked.allowance),
            )
            if entry is not None and entry.key == asked.key:
                outcome = CacheOutcome("hit", "exact", 1.0, entry=asked.key.id)
                found = await self._found(asked, entry, outcome, now=now)
                if found is not None:
                    return found.served()
            return await self._similar(asked, encoding=encoding, now=now)
        return Looked()

    async def confirmed(self, doubtful: Kept, context: Context, *, question: Question, trace: Trace) -> Answer | None:
        """Return the doubtful answer if a fresh context rests on nothing younger; else it is forgotten.

        An exact hit is known to hold at the generation of the context from now on.
        """
        answer = doubtful.answer
        place = Place(question.tenant, question.collection, answer.cache.entry)
        allowance = self.entries.guard.allowance()
        with optional(trace):
            if not await rests_on_nothing_newer(self.sources, question, answer.context, context):
                await self._forget(place, stamp=doubtful.stamp, allowance=allowance)
                return None
            if answer.cache.kind == "exact":
                await self._moved(place, doubtful.stamp, generation=context.generation, allowance=allowance)
            return answer
        return None

    async def put(self, prepared: Prepared, answer: Answer) -> None:
        """Keep a fresh answer if it is worth keeping and its passages are live, and learn from it.

        Both beside the request: it waits for neither.
        """
        question = prepared.question
        asked = self._asked(question, prepared.context.standalone_question, Allowance(KEPT_WITHIN_S))
        self._learn(asked, prepared, answer)
        if question.cache in ("on", "write_only") and is_worth_keeping(answer):
            self.keeping.start(asked.key.id, self._keep(asked, prepared, answer))

    async def clear(self, tenant: str, collection: str | None = None) -> int:
        """Forget what a tenant was answered, in one collection if it is given; return how many answers that were.

        What was answered before is among them: what this process is just keeping is waited for, a second at most.
        Raises: `StateUnavailable`, `StoreUnavailable`.
        """
        await self.keeping.idle()
        places = await self.entries.clear(tenant, collection)
        if self.similar is not None:
            await self.similar.index.clear(tenant, collection)
        return places

    async def learned(self, tenant: str, collection: str) -> Known | None:
        """Return what a collection has taught of its questions; None where other words are never served."""
        return await self.similar.levels.known(tenant, collection) if self.similar is not None else None

    async def disliked(self, tenant: str, collection: str, entry: str, *, score: float | None) -> None:
        """Forget an answer that somebody called bad, as far as Redis lets it, and learn from a semantic hit.

        Only what is called bad teaches: praise could loosen what the operator has bounded.
        """
        await self.keeping.written(entry, allowance=Allowance(KEPT_WITHIN_S))
        with suppress(Skipped, IndexingError):
            await self._forget(Place(tenant, collection, entry), stamp="", allowance=self.entries.guard.allowance())
        if self.similar is not None and score is not None:
            await self.similar.levels.learn(tenant, collection, Label(score, same=False))

    async def close(self) -> None:
        """End what runs in the background; the clients are the caller's to close, afterwards."""
        await self.learning.close()
        await self.keeping.idle()  # a second at most
        if self.similar is not None:
            await self.similar.close()

    def _asked(self, question: Question, standalone: str, allowance: Allowance) -> Asked:
        return Asked(question, standalone, self.keys.of(question, standalone), allowance)

    async def _similar(self, asked: Asked, *, encoding: Awaitable[EncodedQuestion], now: Revision) -> Looked:
        """Return the answer to the question that is surest to ask the same, if there is one that may be served."""
        level = self._level(asked.question)
        if self.similar is None or level is None:
            return Looked()
        near = await self._near(asked, self.similar, encoding)
        if not near:
            return Looked()
        # The nearest is the one in most cases: its answer is read while its question is judged.
        first, candidates = await asyncio.gather(
            self._entry(asked, near[0].place), self.similar.judged(asked.standalone, near, enough=level.accepts)
        )
        for candidate in candidates:
            entry = first if candidate.place == near[0].place else await self._entry(asked, candidate.place)
            found = await self._candidate(asked, candidate, entry, now=now)
            if found is None:
                continue
            # A fresh answer is the check: on the same share of pairs above the level and below it. Were those below
            # all looked at, their labels would crowd out the ones above, and the level with them.
            checked = self.drawn() < self.shadow_share
            if level.accepts(candidate.score) and not checked:
                return found.served()
            return Looked(near=found.kept if checked and found.standing == "holds" else None)
        return Looked()

    async def _near(
        self, asked: Asked, similar: SimilarQuestions, encoding: Awaitable[EncodedQuestion]
    ) -> Sequence[Near]:
        return await similar.near(
            asked.key, asked.standalone, encoding=encoding, entries=self.entries, allowance=asked.allowance
        )

    async def _entry(self, asked: Asked, place: Place) -> Entry | None:
        return await self.entries.get(place, asked.key, allowance=asked.allowance)

    async def _candidate(
        self, asked: Asked, candidate: Candidate, entry: Entry | None, *, now: Revision
    ) -> Found | None:
        if entry is None:
            return None
        outcome = CacheOutcome(
            "hit", "semantic", min(1.0, candidate.similarity), score=candidate.score, entry=candidate.place.id
        )
        return await self._found(asked, entry, outcome, now=now)

    async def _found(self, asked: Asked, entry: Entry, outcome: CacheOutcome, *, now: Revision) -> Found | None:
        """Return how an entry stands now; None, and it is forgotten, where a source of it has changed."""
        if entry.revision.generation > now.generation:
            # Committed after `now` was read, and looked at by somebody else since.
            now = await self.sources.revision(*asked.scope)
        stands = await standing(self.sources, asked.question, entry.answer.context, held=entry.revision, now=now)
        place = Place.of(entry.key)
        if stands == "dead":
            await self._forget(place, stamp=entry.stamp, allowance=asked.allowance)
            return None
        if stands == "holds" and entry.revision != now:
            await self._moved(place, entry.stamp, generation=now.generation, allowance=asked.allowance)
        outcome = replace(outcome, age_s=max(0.0, self.entries.now() - entry.stored_at))
        answer = entry.answer.again(outcome, question=asked.question.text, standalone=asked.standalone)
        return Found(Kept(answer, entry.stamp, entry.revision), stands)

    def _level(self, question: Question) -> Acceptance | None:
        """Return from which score on other words' answers may be served: by the operator's bound, or a stricter one."""
        if self.similar is None or not question.cache_similar:
            return None
        scope = (question.tenant, question.collection)
        return self.similar.levels.level(*scope, max_wrong=question.cache_max_wrong)

    def _learn(self, asked: Asked, prepared: Prepared, answer: Answer) -> None:
        """Compare the answer with that of the nearest question, beside the request."""
        if self.similar is None or not reads(asked.question):
            return
        if prepared.near is not None:
            self.learning.start(self._compared(asked, answer, prepared.near))
        elif self.similar.levels.level(*asked.scope) is None and self.learning.is_due():
            self.learning.start(self._looked_around(asked, answer, encoded=prepared.encoded))

    async def _looked_around(self, asked: Asked, answer: Answer, *, encoded: EncodedQuestion | None) -> None:
        """Compare the answer with that of the nearest question, in a collection that serves none of them yet."""
        if self.similar is None:
            return
        asked = replace(asked, allowance=self.entries.guard.allowance())
        with suppress(Skipped, IndexingError):
            now = await self.sources.revision(*asked.scope)
            near = await self._near(asked, self.similar, self._encoding(asked.standalone, encoded))
            candidates = await self.similar.judged(asked.standalone, near) if near else []
            if not candidates:
                return
            entry = await self._entry(asked, candidates[0].place)
            found = await self._candidate(asked, candidates[0], entry, now=now)
            if found is not None and found.standing == "holds":
                await self._compared(asked, answer, found.kept)

    async def _compared(self, asked: Asked, answer: Answer, kept: Kept) -> None:
        score = kept.answer.cache.score
        if self.similar is not None and score is not None:
            await self.similar.levels.learn(*asked.scope, Label(score, agree(answer, kept.answer)))

    async def _encoding(self, standalone: str, encoded: EncodedQuestion | None) -> EncodedQuestion:
        return await self.embed(standalone) if encoded is None else encoded

    async def _keep(self, asked: Asked, prepared: Prepared, answer: Answer) -> None:
        with suppress(Skipped, IndexingError):
            held = await self._held(asked, prepared.context)
            if held is None:
                return
            entry = Entry(asked.key, asked.standalone, answer, held, self.entries.now())
            gone = await self.entries.put(entry, allowance=asked.allowance)
            if gone is not None and self.similar is not None:
                encoded = await self._encoding(asked.standalone, prepared.encoded)
                await self.similar.keep(asked.key, encoded, gone=gone, allowance=asked.allowance)

    async def _held(self, asked: Asked, context: Context) -> Revision | None:
        """Return the revision that an answer over `context` holds for; None if a source has changed meanwhile."""
        now = await self.sources.revision(*asked.scope)
        held = replace(now, generation=context.generation)
        stands = await standing(self.sources, asked.question, context, held=held, now=now)
        return None if stands == "dead" else held

    async def _moved(self, place: Place, stamp: str, *, generation: int, allowance: Allowance) -> None:
        """Note that an entry holds for a later generation; the next reader finds out again where Redis is late."""
        with suppress(Skipped):
            await self.entries.move(place, stamp=stamp, generation=generation, allowance=allowance)

    async def _forget(self, place: Place, *, stamp: str, allowance: Allowance) -> None:
        """Forget an entry and its question. Where that fails, the next reader finds out again."""
        with suppress(Skipped, IndexingError):
            await self.entries.drop([place], stamp=stamp, allowance=allowance)
            if self.similar is not None:
                await self.similar.index.remove([place])


@contextmanager
def optional(trace: Trace) -> Iterator[None]:
    """Go on without the block where it fails, and say so; a collection that is not there is retrieval's to report."""
    try:
        yield
    except Skipped:
        trace.fell_back("cache", "it is down, or did not answer in time")
    except CollectionNotFound:
        pass
    except IndexingError as error:
        trace.fell_back("cache", error.detail)


def reads(question: Question) -> bool:
    """Return whether the question may be given a kept answer."""
    return question.cache in ("on", "read_only")


def is_worth_keeping(answer: Answer) -> bool:
    """Return whether the answer is whole and fresh, cites something, and no citation is known to be wrong."""
    supported = all(citation.support != "unsupported" for citation in answer.citations)
    return (
        bool(answer.citations)
        and supported
        and not (answer.partial or answer.abstained or answer.cache.status == "hit")
    )
