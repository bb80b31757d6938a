"""`python -m eval memory`: how much of what a question needs of a long conversation is sent.

Each question is asked after its whole conversation, at a quarter of its tokens. `ragopt` is the history stage with that
budget; `bm25` fills it with the turns that BM25 ranks first, `truncation` with the last ones.
`evidence_recall@quarter` is the share of a question's evidence turns that is held: word for word as a turn, or in one
line of the summary that has at least 80 % of the turn's content words. On a set that names no evidence,
`term_recall@quarter` stands in for it: the share of the question's content words that were said at all which are held.
That one favours BM25, which looks for nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from eval.configuration import Overrides, configured
from eval.errors import DatasetError
from eval.memory_sets import MemoryQuestion, MemorySet, Said, read_memory_set
from eval.report import Cases, Report, rounded, segments_of
from indexes.ingest import TextEncoder
from indexes.records import EncodedQuestion
from ragopt.domain import Question, Summary, Turn
from ragopt.evidence import overlap, word_scores, words
from ragopt.results import History
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.fold import folded, tokens_of, turn_tokens
from ragopt.stages.history.recall import chosen
from ragopt.stages.history.stage import BudgetedHistory
from ragopt.stages.history.vectors import TurnVectors
from ragopt.telemetry import Trace
from ragopt.wiring import open_embedder

SHARE = 0.25
IN_A_LINE = 0.8
SYSTEMS = ("ragopt", "bm25", "truncation")


@dataclass(frozen=True, slots=True)
class MemoryJob:
    """What to measure: `limit` questions, None for all."""

    limit: int | None = None
    seed: int = 0
    overrides: Overrides = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Held:
    """What of a conversation is sent: the turns word for word, and the lines of the summary."""

    turns: Sequence[Turn]
    lines: Sequence[str] = ()

    def has(self, turn: Turn) -> bool:
        """Return whether a turn is held."""
        return turn in self.turns or any(overlap(turn.content, line) >= IN_A_LINE for line in self.lines)

    def terms(self) -> set[str]:
        """Return the content words that are held."""
        return {word for text in (*(turn.content for turn in self.turns), *self.lines) for word in words(text)}

    def tokens(self) -> int:
        """Return what it takes in a prompt."""
        return sum(turn_tokens(self.turns)) + tokens_of("\n".join(self.lines))


Row: TypeAlias = Mapping[str, float]


async def measure(folder: Path, job: MemoryJob) -> Report:
    """Return the report of one folder. Raises: `DatasetError`, `ConfigurationError`."""
    dataset = read_memory_set(folder)
    named = [question for question in dataset.questions if question.evidence]
    asked = (named or list(dataset.questions))[: job.limit]
    if not asked:
        raise DatasetError(f"{folder}: no question")
    settings = configured(folder, job.overrides)
    async with open_embedder(settings) as embedder:
        stages = {
            name: await Remembered.of(said, embedder, settings.history)
            for name, said in dataset.conversations.items()
            if any(question.conversation == name for question in asked)
        }
        rows, failures = [], []
        for question in asked:
            held = await stages[question.conversation].held(question, await embedder.encode_question(question.text))
            rows.append(scores_of(held, question, stages[question.conversation]))
            failures += over_budget(held, question, stages[question.conversation])
    return report_of(dataset, asked, rows=rows, failures=failures, job=job, history=settings.history)


@dataclass(frozen=True, slots=True)
class Remembered:
    """A whole conversation with its summary, and the stage that is asked. budget: a quarter of its tokens."""

    turns: tuple[Turn, ...]
    summary: Summary
    stage: BudgetedHistory
    budget: int
    vocabulary: frozenset[str]

    @classmethod
    async def of(cls, said: Sequence[Said], embedder: TextEncoder, settings: HistorySettings) -> Remembered:
        """Return a conversation as it stands after its last turn: folded, and with the vectors of its turns."""
        turns = tuple(item.turn for item in said)
        budget = int(SHARE * sum(turn_tokens(turns)))
        vectors = TurnVectors(embedder.encode, wait_s=None, most_fresh=len(turns))
        await vectors.of([turn.content for turn in turns])
        stage = BudgetedHistory(settings.model_copy(update={"budget_tokens": budget}), vectors)
        summary = folded(Summary(), turns, limits=stage.limits)
        return cls(turns, summary, stage, budget, frozenset(word for turn in turns for word in words(turn.content)))

    async def held(self, question: MemoryQuestion, encoded: EncodedQuestion) -> dict[str, Held]:
        """Return what each system sends."""
        asked = Question(question.text, "eval", history=self.turns, summary=self.summary)
        history = await self.stage(asked, standalone=question.text, encoded=encoded, trace=Trace("eval"))
        sizes = turn_tokens(self.turns)
        ranked = np.asarray(word_scores(words(question.text), [words(turn.content) for turn in self.turns]), np.float64)
        latest = np.arange(1, len(self.turns) + 1, dtype=np.float64)
        # A turn that shares no word comes after all that do, the newest first: the budget is used up either way.
        filled = ranked + np.where(ranked > 0, 1, latest / (len(self.turns) + 1))
        return {
            "ragopt": sent(history),
            "bm25": self._at(chosen(filled, sizes, most_tokens=self.budget)),
            "truncation": self._at(chosen(latest, sizes, most_tokens=self.budget)),
        }

    def _at(self, places: Sequence[int]) -> Held:
        return Held([self.turns[at] for at in places])


def sent(history: History) -> Held:
    """Return what the stage sends."""
    lines = [line for block in history.summary for line in block.split("\n")]
    return Held((*history.recent, *history.recalled), lines)


def scores_of(held: Mapping[str, Held], question: MemoryQuestion, remembered: Remembered) -> Row:
    """Return the metrics of one question."""
    score: Callable[[Held], float]
    if question.evidence:
        name, score = "evidence_recall", lambda item: evidence_recall(item, question, remembered.turns)
    else:
        said = set(words(question.text)) & remembered.vocabulary
        name, score = "term_recall", lambda item: len(said & item.terms()) / len(said) if said else 1.0
    row = {f"{name}@quarter.{system}": score(held[system]) for system in SYSTEMS}
    whole = remembered.budget / SHARE
    return row | {f"tokens@quarter.{system}": held[system].tokens() / whole for system in SYSTEMS}


def evidence_recall(held: Held, question: MemoryQuestion, turns: Sequence[Turn]) -> float:
    """Return the share of the question's evidence turns that are held."""
    return sum(held.has(turns[at]) for at in question.evidence) / len(question.evidence)


def over_budget(held: Mapping[str, Held], question: MemoryQuestion, remembered: Remembered) -> list[str]:
    """Return a sentence for each system that sends more than the budget."""
    sizes = {system: held[system].tokens() for system in SYSTEMS}
    return [
        f"{question.id}: {system} sends {size} of {remembered.budget} tokens"
        for system, size in sizes.items()
        if size > remembered.budget
    ]


def report_of(
    dataset: MemorySet,
    asked: Sequence[MemoryQuestion],
    *,
    rows: Sequence[Row],
    failures: Sequence[str],
    job: MemoryJob,
    history: HistorySettings,
) -> Report:
    """Return the report."""
    cases = Cases(
        ids=tuple(question.id for question in asked),
        segments=tuple(question.segment for question in asked),
        values={name: rounded([row[name] for row in rows]) for name in rows[0]},
    )
    return Report(
        job="memory",
        set=dataset.name,
        n=len(asked),
        seed=job.seed,
        config={
            "share": SHARE,
            **{name: value for name, value in history.model_dump().items() if name != "budget_tokens"},
            "unknown_evidence": dataset.unknown_evidence,
        },
        metrics=cases.metrics(seed=job.seed),
        segments=segments_of(cases, seed=job.seed),
        failures=tuple(failures),
        cases=cases,
    )
