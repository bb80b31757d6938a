"""What each stage hands to the next: frozen values."""

from __future__ import annotations

from dataclasses import dataclass

from indexes.records import EncodedQuestion, Hit
from ragopt.domain import BilledCall, CacheOutcome, Citation, Context, Passage, Question, Route, Stop, Turn, Usage
from ragopt.providers.layout import Prompt

NOT_ASKED = CacheOutcome("bypass")


@dataclass(frozen=True, slots=True)
class Standalone:
    """A question as it would be asked without its history.

    sure: False where `text` may ask something else than what was meant, or only part of it: an answer to it is
    this conversation's alone, and the response cache neither serves nor keeps it. changed: whether `text` differs
    from what was asked.
    """

    text: str
    sure: bool = True
    changed: bool = False


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
class Prepared:
    """The first half of an answer: everything up to the model call.

    encoded: None where it is not known. outcome: what the response cache said. keeps: whether it may keep the answer.
    history: what of the conversation the prompt holds.
    """

    question: Question
    context: Context
    prompt: Prompt
    encoded: EncodedQuestion | None = None
    outcome: CacheOutcome = NOT_ASKED
    keeps: bool = False
    history: History = NO_HISTORY


@dataclass(frozen=True, slots=True)
class Generated:
    """The terminal event of generation: the route that was taken and what it used, call by call in `billed`."""

    route: Route
    usage: Usage
    partial: bool
    abstained: bool
    billed: tuple[BilledCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Cited:
    """An answer text after citation checking."""

    text: str
    citations: tuple[Citation, ...]
