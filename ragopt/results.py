"""What each stage hands to the next: frozen values."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from indexes.records import EncodedQuestion, Hit, Revision
from ragopt.checks import CheckedClaim, Checks
from ragopt.domain import (
    Answer,
    BilledCall,
    CacheOutcome,
    Citation,
    Context,
    Passage,
    Question,
    Route,
    Stop,
    Turn,
    Usage,
)
from ragopt.providers.layout import Prompt
from ragopt.providers.protocol import TextDelta

NOT_ASKED = CacheOutcome("bypass")


@dataclass(frozen=True, slots=True)
class Standalone:
    """A question as it would be asked without its history.

    sure: False where `text` may ask something else than what was meant, or only part of it: an answer to it is
    this conversation's alone, and the response cache neither serves nor keeps it. changed: whether `text` differs
    from what was asked. encoded: the vectors of `text` where they were made already.
    """

    text: str
    sure: bool = True
    changed: bool = False
    encoded: EncodedQuestion | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Retrieved:
    """Fused hits, best first, of one committed generation of the collection."""

    question: EncodedQuestion
    hits: tuple[Hit, ...]
    generation: int


@dataclass(frozen=True, slots=True)
class RankedHit:
    """A hit with its rerank score, higher is better, comparable within one list.

    similarity: late interaction's estimate of how alike question and chunk are, in [-1, 1], comparable
    across questions. unit_scores: the same for each of its units alone, in order.
    """

    hit: Hit
    score: float
    similarity: float
    unit_scores: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Packed:
    """Numbered passages within a budget, and why they are not more."""

    passages: tuple[Passage, ...]
    stopped_by: Stop


@dataclass(frozen=True, slots=True)
class History:
    """What of the earlier conversation goes into a prompt.

    summary: blocks that stand for the oldest turns, each the same bytes from turn to turn. recent: the last turns,
    word for word. recalled: older turns that the question is about, oldest first. turns_before: how many there were.
    """

    summary: tuple[str, ...] = ()
    recent: tuple[Turn, ...] = ()
    recalled: tuple[Turn, ...] = ()
    turns_before: int = 0


NO_HISTORY = History()


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that the cache holds, as it would be served: `answer.cache` says which entry, and how alike.

    stamp: drawn when the entry was written. revision: the last one of the collection that it was found to hold for.
    """

    answer: Answer
    stamp: str
    revision: Revision


@dataclass(frozen=True, slots=True)
class Looked:
    """What the response cache has for a question.

    answer: to be served as it is. doubtful: its sources are as they were, but younger chunks exist: it may be
    served if a fresh context holds none of them. near: the nearest question's answer, which is not to be served:
    what a fresh answer says beside it teaches the cache. At most one of the three.
    """

    answer: Answer | None = None
    doubtful: Kept | None = None
    near: Kept | None = None


@dataclass(frozen=True, slots=True)
class Prepared:
    """The first half of an answer: everything up to the model call.

    encoded: None where it is not known. outcome: what the response cache said. keeps: whether it may keep the answer
    and learn from it. near: the answer to a question like this one, which it did not serve.
    history: what of the conversation the prompt holds.
    """

    question: Question
    context: Context
    prompt: Prompt
    encoded: EncodedQuestion | None = None
    outcome: CacheOutcome = NOT_ASKED
    keeps: bool = False
    history: History = NO_HISTORY
    near: Kept | None = None


@dataclass(frozen=True, slots=True)
class Shortened:
    """What was really sent, where the prepared prompt did not fit the model's window; it comes before the text.

    The passages are the first of those that were prepared, under their numbers.
    """

    context: Context
    prompt: Prompt
    history: History

    def of(self, prepared: Prepared) -> Prepared:
        """Return a first half with what was really sent; the response cache does not keep a lesser answer."""
        return replace(prepared, context=self.context, prompt=self.prompt, history=self.history, keeps=False)


@dataclass(frozen=True, slots=True)
class Generated:
    """The terminal event of generation: the route that was taken and what it used, call by call in `billed`.

    corrections: how often a model was asked to mend its answer.
    """

    route: Route
    usage: Usage
    partial: bool
    abstained: bool
    billed: tuple[BilledCall, ...] = ()
    corrections: int = 0


Written: TypeAlias = AsyncGenerator[TextDelta | Shortened | Generated, None]
"""What a model writes: deltas, before them what was really sent if not what was prepared, and `Generated` last."""


@dataclass(frozen=True, slots=True)
class Cited:
    """An answer text after citation checking, and what was done to it."""

    text: str
    citations: tuple[Citation, ...]
    claims: tuple[CheckedClaim, ...] = ()
    checks: Checks = field(default_factory=Checks)
