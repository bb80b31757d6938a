"""Random ingests, updates, deletions and questions: is anything stale served, and how much is killed without need.

Beside each question that has a kept answer, a fresh context says what that answer is worth. It is stale
if a passage it rests on is gone or reads differently, or if the fresh context holds something that
came after it was given. A cache that is emptied with every change of its collection would have killed
every kept answer that a change came after; of those kills, the ones of answers that were not stale
were without need. The built-in provider often says the same again from a context that holds something new:
`killed_for_the_same_words` counts that, which nobody can know before the answer is made.
"""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from tqdm import tqdm

from eval.bench.index import Encoders, configured_encoder
from eval.cache.world import COLLECTION, PATIENCE_S, TENANT, World, opened_world
from eval.intervals import bootstrap, exact
from eval.report import Report
from indexes.records import Document
from ragopt.domain import Answer, Context, QueryKnobs, Question
from ragopt.stages.cache.answer_cache import is_worth_keeping
from ragopt.stages.cache.entries import EntryLimits
from ragopt.telemetry import Trace

Operation: TypeAlias = Literal["ask", "add", "update", "edit", "delete"]

# In a hundred operations. Each change comes before several questions, as in life, but often enough to matter.
SHARES: dict[Operation, int] = {"ask": 60, "add": 12, "update": 10, "edit": 8, "delete": 10}
SUBJECTS = (
    *("barge", "canoe", "ferry", "kayak", "raft", "sloop", "tanker", "trawler", "tug", "yacht", "bus", "coach"),
    *("lorry", "moped", "pickup", "rickshaw", "scooter", "sedan", "tractor", "van", "airship", "glider", "rocket"),
)
FACTS = (
    *("fee", "deposit", "insurance", "warranty", "weight", "height", "speed", "range", "colour", "capacity", "fuel"),
)
ASKED_FACTS = 6
MAX_DOCUMENTS = 60
# Room for about a third of what speaks of a subject: a context is a choice, and something new can displace something.
KNOBS = QueryKnobs(context_tokens=60, top_k=20)


@dataclass(frozen=True, slots=True)
class FreshnessJob:
    """How many operations, and the seed that they are drawn with."""

    operations: int = 10_000
    seed: int = 0


@dataclass(slots=True)
class Written:
    """A document as the test wrote it: its current text, its version and when that was written."""

    text: str
    version: int
    at: int


@dataclass(slots=True)
class Given:
    """The kept answer to a question, when it was given, and when the question was last asked."""

    answer: Answer
    at: int
    asked_at: int


@dataclass(slots=True)
class Tally:
    """What came of the questions.

    flushed: kept answers that a change came after. needless: 1 for each of those that was killed without need. below:
    killed for something new that ranks below all that the answer rests on. same: killed, and the fresh answer was
    word for word the same.
    """

    asked: int = 0
    hits: int = 0
    stale: list[str] = field(default_factory=list)
    flushed: int = 0
    killed: int = 0
    needless: list[float] = field(default_factory=list)
    below: int = 0
    same: int = 0


@dataclass(slots=True)
class Churn:
    """One run: the world, what was written to it, and what its cache holds as far as the test can know."""

    world: World
    random: random.Random
    now: int = 0
    changed_at: int = 0
    written: dict[str, Written] = field(default_factory=dict)
    given: dict[str, Given] = field(default_factory=dict)
    versions: Counter[str] = field(default_factory=Counter)
    tally: Tally = field(default_factory=Tally)

    async def step(self) -> None:
        """Do one operation."""
        self.now += 1
        (operation,) = self.random.choices(list(SHARES), list(SHARES.values()))
        if operation == "ask" and self.written:
            await self.ask()
        elif operation == "delete" and len(self.written) > MAX_DOCUMENTS // 2:
            await self.delete(self.random.choice(sorted(self.written)))
        elif operation in ("update", "edit") and self.written:
            await self.change(self.random.choice(sorted(self.written)), whole=operation == "update")
        elif len(self.written) < MAX_DOCUMENTS:
            await self.write(f"doc {self.now}", self.sentences())

    async def ask(self) -> None:
        """Ask one of a few hundred questions, some far oftener than others, and judge what comes back."""
        subject = SUBJECTS[min(int(self.random.expovariate(0.2)), len(SUBJECTS) - 1)]
        text = f"What is the {self.random.choice(FACTS[:ASKED_FACTS])} of the {subject}?"
        before = self.given.get(text)
        question = Question(text, TENANT, COLLECTION, knobs=KNOBS)
        answer = await self.world.asked(question)
        self.tally.asked += 1
        flushed = before is not None and self.changed_at > before.asked_at
        self.tally.flushed += flushed
        if answer.cache.status == "hit":
            self.tally.hits += 1
            await self.judge_hit(question, before)
        else:
            await self.judge_miss(question, before if flushed else None, answer)
            if is_worth_keeping(answer):
                self.given[text] = Given(answer, self.now, self.now)
            else:
                self.given.pop(text, None)

    async def judge_hit(self, question: Question, before: Given | None) -> None:
        """Note a hit that is stale, or that nobody can have put there."""
        if before is None:
            self.tally.stale.append(f"{question.text} was served from nowhere")
            return
        if reason := await self.staleness(question, before):
            self.tally.stale.append(f"operation {self.now}: {question.text}: {reason}")
        before.asked_at = self.now

    async def judge_miss(self, question: Question, before: Given | None, answer: Answer) -> None:
        """Note whether a kept answer that a change came after was killed without need, or for the same words again."""
        if before is None:
            return
        self.tally.killed += 1
        self.tally.same += sources_of(before.answer) == sources_of(answer)
        stale = await self.staleness(question, before)
        self.tally.needless.append(float(not stale))
        self.tally.below += self.is_live(before.answer.context) and not self.outranked(before, answer.context)

    def is_live(self, context: Context) -> bool:
        """Return whether every passage is of the current version of its document."""
        current = {document_id: document.version for document_id, document in self.written.items()}
        return all(current.get(passage.document_id) == passage.version for passage in context.passages)

    def outranked(self, given: Given, fresh: Context) -> bool:
        """Return whether something newer ranks above what the answer rests on, or has displaced some of it."""
        scores = {passage.chunk_id: passage.score for passage in fresh.passages}
        rested = [passage.chunk_id for passage in given.answer.context.passages]
        newest = max((p.score for p in fresh.passages if self.written[p.document_id].at > given.at), default=-1.0)
        return any(chunk not in scores or scores[chunk] < newest for chunk in rested)

    async def staleness(self, question: Question, given: Given) -> str:
        """Return why the answer may not be served now, "" if it may."""
        if not self.is_live(given.answer.context):
            return "a source has changed"
        fresh = await self.world.pipeline.context_for(question, trace=Trace("oracle"))
        for passage in fresh.passages:
            if self.written[passage.document_id].at > given.at:
                return f"{passage.document_id} came later"
        return ""

    async def write(self, document_id: str, sentences: list[str]) -> None:
        """Write a document, and note its version."""
        text = " ".join(sentences)
        (result,) = await self.world.library.ingest(TENANT, COLLECTION, [Document(document_id, text)])
        if result.status != "unchanged":
            self.written[document_id] = Written(text, result.version or 0, self.now)
            self.changed_at = self.now

    async def change(self, document_id: str, *, whole: bool) -> None:
        """Write a document anew, or one of its sentences."""
        sentences = self.written[document_id].text.removesuffix(".").split(". ")
        kept = [f"{sentence}." for sentence in sentences]
        kept[self.random.randrange(len(kept))] = self.sentence()
        await self.write(document_id, self.sentences() if whole else kept)

    async def delete(self, document_id: str) -> None:
        """Delete a document."""
        await self.world.library.delete(TENANT, COLLECTION, document_id)
        del self.written[document_id]
        self.changed_at = self.now

    def sentences(self) -> list[str]:
        """Return what a document says, mostly of one subject."""
        subject = self.random.choice(SUBJECTS)
        return [self.sentence(subject) for _ in range(self.random.randint(1, 5))]

    def sentence(self, subject: str = "") -> str:
        """Return one sentence."""
        subject = subject or self.random.choice(SUBJECTS)
        return f"The {self.random.choice(FACTS)} of the {subject} is {self.random.randint(1, 999)}."


def sources_of(answer: Answer) -> tuple[str, frozenset[tuple[str, int]]]:
    """Return what an answer says and which versions of which documents it cites."""
    return answer.text, frozenset((citation.document_id, citation.version) for citation in answer.citations)


def freshness(job: FreshnessJob, *, encoders: Encoders = configured_encoder) -> Report:
    """Return what a run of random operations came to; anything stale that was served is in its failures."""
    with encoders() as encoder, tempfile.TemporaryDirectory(prefix="ragopt-fresh-") as folder:

        async def run() -> Tally:
            limits = EntryLimits(timeout_s=PATIENCE_S)
            async with opened_world(Path(folder), encoder, limits=limits) as world:
                churn = Churn(world, random.Random(job.seed))  # noqa: S311
                for _ in tqdm(range(job.operations), desc="operations"):
                    await churn.step()
                return churn.tally

        tally = asyncio.run(run())
    # Of what a flush kills: 1 for each that the cache killed although a fresh answer could say nothing else.
    needless = [*tally.needless, *[0.0] * (tally.flushed - tally.killed)]
    metrics = {
        "stale_served": exact(len(tally.stale)),
        "asked": exact(tally.asked),
        "hits": exact(tally.hits),
        "killed_by_a_flush": exact(tally.flushed),
        "killed": exact(tally.killed),
        "killed_without_need": exact(sum(tally.needless)),
        "killed_below_the_weakest": exact(tally.below),
        "killed_for_the_same_words": exact(tally.same),
        "needless_share_of_flush": bootstrap(needless or [0.0], seed=job.seed),
    }
    config = {"context_tokens": KNOBS.context_tokens, "documents": MAX_DOCUMENTS}
    return Report("freshness", "generated", job.operations, job.seed, config, metrics, failures=tuple(tally.stale[:10]))
