"""Questions in other words: which kept ones are near, and how sure the verifier is that they ask the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from indexes.errors import ModelUnavailable, StoreUnavailable
from indexes.records import EncodedQuestion
from ragopt.stages.cache.entries import Place, RedisEntries
from ragopt.stages.cache.guard import Allowance, Guard
from ragopt.stages.cache.key import EntryKey
from ragopt.stages.cache.language import may_share_an_answer
from ragopt.stages.cache.levels import Levels
from ragopt.stages.cache.protocol import SameQuestion
from ragopt.stages.cache.questions import QuestionIndex

# Of the nearest kept questions, the verifier sees so many, and none that is farther away than this.
CANDIDATES = 4
LEAST_SIMILARITY = 0.6
TIMEOUT_S = 0.1
PAUSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Near:
    """A kept question beside the one that is asked. similarity: cosine."""

    place: Place
    similarity: float
    text: str


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kept question that may ask the same. similarity: cosine. score: the verifier's, higher is surer."""

    place: Place
    similarity: float
    score: float


@dataclass(frozen=True, slots=True)
class SimilarQuestions:
    """The index of kept questions, the verifier, and the level of each collection, behind one guard."""

    index: QuestionIndex
    judge: SameQuestion
    levels: Levels
    guard: Guard

    @classmethod
    def over(
        cls,
        index: QuestionIndex,
        judge: SameQuestion,
        levels: Levels,
        *,
        timeout_s: float = TIMEOUT_S,
        pause_s: float = PAUSE_S,
    ) -> SimilarQuestions:
        """Return it with a guard that lets each use take `timeout_s`, and none for `pause_s` after a failure."""
        guard = Guard(StoreUnavailable, ModelUnavailable, timeout_s=timeout_s, pause_s=pause_s)
        return cls(index, judge, levels, guard)

    async def near(
        self,
        key: EntryKey,
        asked: str,
        *,
        encoding: Awaitable[EncodedQuestion],
        entries: RedisEntries,
        allowance: Allowance,
    ) -> Sequence[Near]:
        """Return the kept questions near `asked`, the nearest first. allowance: what Redis may take.

        What the index holds of entries that are gone is removed. Raises: `Skipped`.
        """
        encoded = await encoding
        nearest = self.index.nearest(key, encoded.dense, limit=CANDIDATES, at_least=LEAST_SIMILARITY)
        found = await self.guard.run(nearest, self.guard.allowance())
        if not found:
            return []
        questions = await entries.questions([item.place for item in found], allowance=allowance)
        gone = [item.place for item, text in zip(found, questions, strict=True) if text is None]
        if gone:
            await self.guard.run(self.index.remove(gone), self.guard.allowance())
        return [
            Near(item.place, item.similarity, text)
            for item, text in zip(found, questions, strict=True)
            if text is not None and may_share_an_answer(asked, text)
        ]

    async def judged(
        self, asked: str, near: Sequence[Near], *, enough: Callable[[float], bool] | None = None
    ) -> Sequence[Candidate]:
        """Return which of them may ask the same, the surest first.

        enough: whether a score is such that none surer is looked for. Then the nearest question is judged first and
        alone, which takes a third of the time of four: it is the one in most cases. Raises: `Skipped`.
        """
        scores = await self.guard.run(self._scores(asked, near, enough=enough), self.guard.allowance())
        found = [
            # Nothing is known of those beyond the one that was enough.
            Candidate(item.place, item.similarity, float(score))
            for item, score in zip(near, scores, strict=False)
        ]
        return sorted(found, key=lambda item: -item.score)

    async def keep(
        self, key: EntryKey, encoded: EncodedQuestion, *, gone: Iterable[Place], allowance: Allowance
    ) -> None:
        """Keep the question of an entry, and forget those of entries that had to go. Raises: `Skipped`.

        allowance: more than a request has. The first question of a collection makes its index, and one that is not
        kept here is never found by other words.
        """
        await self.guard.run(self._keep(key, encoded, gone=gone), allowance)

    async def _scores(
        self, asked: str, near: Sequence[Near], *, enough: Callable[[float], bool] | None
    ) -> Sequence[float]:
        """Return the scores of kept questions, in order: of the first alone where that is enough."""
        kept = [item.text for item in near]
        first = kept if enough is None else kept[:1]
        found = await self.judge.scores(asked, first) if first else []
        others = kept[len(first) :]
        if enough is None or not others or enough(found[0]):
            return found
        return [*found, *await self.judge.scores(asked, others)]

    async def _keep(self, key: EntryKey, encoded: EncodedQuestion, *, gone: Iterable[Place]) -> None:
        await self.index.add(key, encoded.dense)
        await self.index.remove(gone)

    async def close(self) -> None:
        """End what runs in the background."""
        await self.levels.close()
        await self.index.close()
