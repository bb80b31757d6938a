"""A service made of stand-ins, and the real HTTP server in front of it on a real socket."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import date
from decimal import Decimal
from typing import Any

import httpx

from indexes.access import ANYONE, EVERYTHING, Reader
from indexes.errors import CollectionNotFound, DocumentNotFound, EmptyText, InvalidText
from indexes.ingest import IngestProgress
from indexes.records import Document, DocumentInfo, IngestFailure, IngestResult, StoredChunk, StoredDocument
from ragopt.api.app import create_app
from ragopt.api.running import Lifetime
from ragopt.api.server import DrainingServer, listening_socket, url_of
from ragopt.audit.events import AuditEvent
from ragopt.config import Settings
from ragopt.domain import (
    TECHNIQUES,
    Answer,
    CacheOutcome,
    Citation,
    Context,
    Question,
    Route,
    Savings,
    Summary,
    Turn,
    Usage,
)
from ragopt.errors import IdempotencyConflict, MissingKey, NotFound, RateLimited
from ragopt.events import AnswerEvent, CitationFound, Finished, SourcesFound, TextReleased
from ragopt.experiments.judging import LossSums
from ragopt.fetching.fetcher import UrlFetcher
from ragopt.money.drift import AlarmKind
from ragopt.money.ledger import AnswerRow, RatingRow
from ragopt.providers.health import BreakerState
from ragopt.settings.experiments import ExperimentSettings, Loss
from ragopt.settings.url_ingest import UrlIngestSettings
from ragopt.stages.cache.levels import Known
from ragopt.state.batch_records import BatchInfo, BatchItem, BatchResult, Terms
from ragopt.state.batches import Claim
from ragopt.state.conversations import NEW, Conversation
from ragopt.state.experiments import LOSSES
from ragopt.state.feedback import Given, Rating
from ragopt.state.jobs import Job, JobOwner
from ragopt.state.key_records import SCOPES, ApiKey, KeyRecord, Rotated
from ragopt.state.ledger import DaySums
from ragopt.state.rates import RateLimit, Taken
from ragopt.telemetry import Trace
from tests.fakes import context_of, passage

KEY, QUERY_KEY, INGEST_KEY, OTHER_KEY = "key-of-acme", "query-key-of-acme", "ingest-key-of-acme", "key-of-globex"
TEXT = "The sky is blue. Grass is green."


NOTHING_SAVED = dict.fromkeys(TECHNIQUES, Decimal(0))


def api_key(tenant: str, *scopes: str) -> ApiKey:
    """Return a key of a tenant; its id names both."""
    return ApiKey(f"{tenant}-{'-'.join(scopes)}", tenant, "test", frozenset(scopes), 0.0, None)


class FakeKeys:
    """Four keys of two tenants. `gate` holds every check back until it is set."""

    def __init__(self) -> None:
        self.known = {
            KEY: api_key("acme", *SCOPES),
            QUERY_KEY: api_key("acme", "query"),
            INGEST_KEY: api_key("acme", "ingest"),
            OTHER_KEY: api_key("globex", *SCOPES),
        }
        self.gate: threading.Event | None = None

    async def authenticate(self, presented: str) -> ApiKey:
        """Return the key or raise `MissingKey`."""
        while self.gate is not None and not self.gate.is_set():
            await asyncio.sleep(0.005)
        if presented not in self.known:
            raise MissingKey("unknown key")
        return self.known[presented]

    async def records(self, tenant: str | None = None) -> list[KeyRecord]:
        """Return the keys of a tenant."""
        return [KeyRecord(key, "digest") for key in self.known.values() if tenant in (None, key.tenant)]

    async def rotate(self, key_id: str, *, overlap_s: float) -> Rotated:
        """Return a new secret of a key."""
        key = next(key for key in self.known.values() if key.id == key_id)
        return Rotated(key, f"new secret of {key_id}", overlap_s)


class FakeLibrary:
    """Documents in memory by tenant, collection and id."""

    def __init__(self) -> None:
        self.stored: dict[tuple[str, str, str], Document] = {}
        self.failure: Exception | None = None
        self.gate: threading.Event | None = None
        self.started = threading.Event()

    async def ingest(
        self, tenant: str, collection: str, documents: Sequence[Document], *, by: Reader = ANYONE, progress: Any = None
    ) -> list[IngestResult]:
        """Store what is not blank."""
        self.started.set()
        while self.gate is not None and not self.gate.is_set():
            await asyncio.sleep(0.005)
        if self.failure is not None:
            raise self.failure
        if progress is not None:
            progress(IngestProgress(len(documents), len(documents), len(documents), len(documents)))
        return [self._store(tenant, collection, document) for document in documents]

    def _store(self, tenant: str, collection: str, document: Document) -> IngestResult:
        try:
            document.text.encode()
        except UnicodeEncodeError:
            return failed(document.id, InvalidText.code)
        if not document.text.strip():
            return failed(document.id, EmptyText.code)
        self.stored[tenant, collection, document.id] = document
        return IngestResult(document.id, 1, "created", 1, len(document.text.split()))

    def _info(self, document: Document) -> DocumentInfo:
        known = (document.provenance, document.quarantined)
        return DocumentInfo(
            document.id,
            1,
            document.title,
            document.metadata,
            1,
            len(document.text.split()),
            "hash",
            *known,
            access=document.access,
        )

    def _collection(self, tenant: str, collection: str) -> list[Document]:
        found = [item for key, item in self.stored.items() if key[:2] == (tenant, collection)]
        if not found:
            raise CollectionNotFound(f"there is no collection {collection!r}")
        return found

    async def admitted(self, tenant: str, collection: str, documents: Sequence[Document]) -> list[Document]:
        """Return the documents as they are."""
        return list(documents)

    async def told_apart(self, tenant: str, collection: str, reader: Reader) -> Reader:
        """Return what everybody reads: no document has a list."""
        return ANYONE

    async def release(self, tenant: str, collection: str, document_id: str, *, reader: Reader = ANYONE) -> None:
        """Let one document out of quarantine."""
        await self.document(tenant, collection, document_id)
        key = (tenant, collection, document_id)
        self.stored[key] = replace(self.stored[key], quarantined=False)

    async def generation(self, tenant: str, collection: str) -> int:
        """Return 1; there is no collection called `nowhere`."""
        if collection == "nowhere":
            raise CollectionNotFound("there is no collection 'nowhere'")
        return 1

    async def documents(self, tenant: str, collection: str, *, reader: Reader = ANYONE) -> list[DocumentInfo]:
        """Return what is stored."""
        return [self._info(item) for item in sorted(self._collection(tenant, collection), key=lambda item: item.id)]

    async def document(
        self, tenant: str, collection: str, document_id: str, *, reader: Reader = ANYONE
    ) -> StoredDocument:
        """Return one document of one chunk."""
        for item in self._collection(tenant, collection):
            if item.id == document_id:
                span = (0, len(item.text))
                chunk = StoredChunk("chunk-1", item.id, 1, item.title, *span, (span,), item.text)
                return StoredDocument(self._info(item), item.text, (chunk,))
        raise DocumentNotFound(f"no document {document_id!r}")

    async def delete(self, tenant: str, collection: str, document_id: str, *, reader: Reader = ANYONE) -> None:
        """Forget one document."""
        await self.document(tenant, collection, document_id)
        del self.stored[tenant, collection, document_id]


def failed(document_id: str, code: str) -> IngestResult:
    """Return a failed result."""
    return IngestResult(document_id, None, "failed", 0, 0, IngestFailure(code, f"it is {code}"))


class FakePipeline:
    """Answers every question with the same two sentences; `gate` holds it between the two, `failure` ends it there."""

    def __init__(self) -> None:
        self.asked: list[Question] = []
        self.ends: list[float] = []
        self.refusal: Exception | None = None
        self.failure: Exception | None = None
        self.gate: threading.Event | None = None
        self.closed = threading.Event()

    async def context_for(self, question: Question, *, trace: Trace) -> Context:
        """Return one passage."""
        self.asked.append(question)
        with trace.stage("retrieve"):
            await self._held()
        if self.refusal is not None:
            raise self.refusal
        return context(question)

    async def answer(self, question: Question, *, trace: Trace) -> AsyncGenerator[AnswerEvent, None]:
        """Yield the events of a short answer."""
        self.asked.append(question)
        self.ends.append(trace.ends)
        if self.refusal is not None:
            raise self.refusal
        try:
            yield SourcesFound(context(question), CacheOutcome("miss"))
            yield TextReleased("The sky is blue [1].")
            with trace.stage("generate"):
                await self._held()
            if self.failure is not None:
                raise self.failure
            yield TextReleased(" Grass is green [1].")
            whole = answer(question)
            for citation in whole.citations:
                yield CitationFound(citation)
            yield Finished(whole)
        finally:
            self.closed.set()

    async def _held(self) -> None:
        while self.gate is not None and not self.gate.is_set():
            await asyncio.sleep(0.005)


def context(question: Question) -> Context:
    """Return the context that the fake pipeline finds."""
    return replace(context_of(passage(TEXT)), question=question.text, token_budget=question.knobs.context_tokens)


def answer(question: Question) -> Answer:
    """Return the answer that the fake pipeline gives."""
    first = Citation(1, "document-1", 1, "chunk-1", "Title 1", 0, 19, 0, 16, "The sky is blue.", "supported", 0.9)
    second = Citation(1, "document-1", 1, "chunk-1", "Title 1", 21, 39, None, None, None, "unsupported", 0.1)
    return Answer(
        id="ans_1",
        text="The sky is blue [1]. Grass is green [1].",
        abstained=False,
        citations=(first, second),
        context=context(question),
        route=Route("extractive", "extractive", "simple", None, "no model is configured", ()),
        cache=CacheOutcome("miss"),
        usage=Usage(output_tokens=12, cost_usd=Decimal("1E-7")),
        savings=Savings(Decimal("0.002"), {**NOTHING_SAVED, "context": Decimal("0.002"), "retries": Decimal("-1E-7")}),
    )


@dataclass
class FakeConversations:
    """Turns in memory. `failure` is what its methods raise."""

    turns: dict[tuple[str, str], tuple[Turn, ...]] = field(default_factory=dict)
    failure: Exception | None = None
    reads: list[str] = field(default_factory=list)

    async def load(self, tenant: str, conversation_id: str) -> Conversation:
        """Return the turns; the summary stands for all but the last two."""
        self.reads.append(tenant)
        if self.failure is not None:
            raise self.failure
        turns = self.turns.get((tenant, conversation_id), ())
        summary = Summary(("- user: Hello.",), folded=len(turns) - 2) if len(turns) > 2 else None
        return Conversation(turns, summary)

    async def append(
        self,
        tenant: str,
        conversation_id: str,
        turns: Sequence[Turn],
        *,
        known: Conversation = NEW,
        question: Question | None = None,
    ) -> None:
        """Add turns to those that were known."""
        if self.failure is not None:
            raise self.failure
        self.turns[tenant, conversation_id] = (*known.turns, *turns)

    async def delete(self, tenant: str, conversation_id: str) -> bool:
        """Forget the turns."""
        return self.turns.pop((tenant, conversation_id), None) is not None


@dataclass
class FakeJobs:
    """Jobs in memory. `failure` is what writing one raises."""

    jobs: dict[str, Job] = field(default_factory=dict)
    held: dict[str, list[Document]] = field(default_factory=dict)
    failure: Exception | None = None
    released: list[str] = field(default_factory=list)

    def _add(self, owner: JobOwner, status: Any, results: Sequence[IngestResult]) -> str:
        if self.failure is not None:
            raise self.failure
        job_id = f"job-{len(self.jobs)}"
        self.jobs[job_id] = Job(job_id, owner, status, tuple(results), None, 0, 0)
        return job_id

    async def create(self, owner: JobOwner, documents: Sequence[Document]) -> str:
        """Add a queued job."""
        job_id = self._add(owner, "queued", ())
        self.held[job_id] = list(documents)
        return job_id

    async def record(self, owner: JobOwner, results: Sequence[IngestResult]) -> str:
        """Add a done job."""
        return self._add(owner, "done", results)

    async def get(self, tenant: str, job_id: str, *, reader: Reader = ANYONE) -> Job:
        """Return a job of the tenant."""
        if job_id not in self.jobs or not self.jobs[job_id].owner.may_look(tenant, reader):
            raise NotFound(f"There is no job {job_id}.")
        return self.jobs[job_id]

    async def owner(self, job_id: str) -> JobOwner:
        """Return whose job it is."""
        return self.jobs[job_id].owner

    async def claim_unfinished(self, *, limit: int = 100) -> list[str]:
        """Return queued jobs and mark them running."""
        claimed = [job_id for job_id, job in self.jobs.items() if job.status == "queued"][:limit]
        for job_id in claimed:
            self.jobs[job_id] = replace(self.jobs[job_id], status="running")
        return claimed

    async def documents(self, job_id: str) -> list[Document]:
        """Return the documents of a job."""
        return self.held[job_id]

    async def progress(self, job_id: str, *, chunks_done: int, chunks_total: int) -> None:
        """Keep the counts."""
        self.jobs[job_id] = replace(self.jobs[job_id], chunks_done=chunks_done, chunks_total=chunks_total)

    async def release(self, job_id: str) -> None:
        """Note that the job was put back."""
        self.released.append(job_id)

    async def finish(self, job_id: str, results: Sequence[IngestResult]) -> None:
        """End a job."""
        self.jobs[job_id] = replace(self.jobs[job_id], status="done", documents=tuple(results))

    async def fail(self, job_id: str, error: str) -> None:
        """End a job as failed."""
        self.jobs[job_id] = replace(self.jobs[job_id], status="failed", error=error)


@dataclass
class FakeBatchStore:
    """Batches in memory; nobody works on them."""

    batches: dict[str, BatchInfo] = field(default_factory=dict)
    items: dict[str, list[BatchItem]] = field(default_factory=dict)
    keys: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    done: dict[str, list[BatchResult]] = field(default_factory=dict)

    def now(self) -> float:
        """Return a fixed time."""
        return 1_700_000_000.0

    async def create(
        self,
        terms: Terms,
        items: Sequence[BatchItem],
        *,
        idempotency: tuple[str, str] | None = None,
        most_open: int = 0,
    ) -> tuple[str, bool]:
        """Keep a batch, once for each Idempotency-Key; refuse one beyond `most_open` questions of its API key."""
        batch_id = f"batch-{len(self.batches)}"
        own = sum(info.terms.total for info in self.batches.values() if info.terms.key_id == terms.key_id)
        if most_open and own + terms.total > most_open:
            raise RateLimited(f"{own} are open", retry_after_s=60)
        if idempotency is not None:
            first, digest = self.keys.setdefault((terms.tenant, idempotency[0]), (batch_id, idempotency[1]))
            if digest != idempotency[1]:
                raise IdempotencyConflict("another body")
            if first != batch_id:
                return first, False
        self.batches[batch_id] = BatchInfo(batch_id, terms, "queued")
        self.items[batch_id] = list(items)
        return batch_id, True

    async def info(self, batch_id: str, *, tenant: str | None = None, reader: Reader = EVERYTHING) -> BatchInfo:
        """Return a batch of the tenant."""
        found = self.batches.get(batch_id)
        if found is None or found.terms.tenant != tenant:
            raise NotFound(f"There is no batch {batch_id}.")
        return found

    async def of_tenant(self, tenant: str, *, reader: Reader = EVERYTHING) -> list[BatchInfo]:
        """Return the tenant's batches."""
        return [info for info in self.batches.values() if info.terms.tenant == tenant][::-1]

    async def cancel(self, batch_id: str) -> None:
        """Mark it."""
        self.batches[batch_id] = replace(self.batches[batch_id], cancelled=True)

    async def claim(self) -> list[Claim]:
        """Return none."""
        return []

    async def results(self, batch_id: str, *, total: int) -> AsyncIterator[BatchResult]:
        """Yield what the test put there."""
        for result in self.done.get(batch_id, []):
            yield result


@dataclass
class FakeDesk:
    """What the routes and the runner need of a desk."""

    store: FakeBatchStore = field(default_factory=FakeBatchStore)


@dataclass
class FakeIdempotency:
    """Responses in memory by tenant and key."""

    entries: dict[tuple[str, str], tuple[str, bytes | None]] = field(default_factory=dict)

    async def begin(self, tenant: str, key: str, body_digest: str) -> bytes | None:
        """Return the kept response of the same body."""
        kept = self.entries.setdefault((tenant, key), (body_digest, None))
        if kept[0] != body_digest:
            raise IdempotencyConflict("another body")
        return kept[1]

    async def complete(self, tenant: str, key: str, body_digest: str, *, response: bytes) -> None:
        """Keep a response."""
        self.entries[tenant, key] = (body_digest, response)

    async def abandon(self, tenant: str, key: str) -> None:
        """Forget the key."""
        self.entries.pop((tenant, key), None)


@dataclass
class FakeLedger:
    """The answers that were written down, and days to read. `failure` is what reading raises."""

    written: list[AnswerRow] = field(default_factory=list)
    ratings: list[RatingRow] = field(default_factory=list)
    read: dict[tuple[str, date], DaySums] = field(default_factory=dict)
    failure: Exception | None = None
    lost: int = 0

    def answered(self, row: AnswerRow) -> None:
        """Keep the row."""
        self.written.append(row)

    def rated(self, row: RatingRow) -> None:
        """Keep the row."""
        self.ratings.append(row)

    async def days(self, tenant: str, days: Sequence[date]) -> list[DaySums]:
        """Return the days of the tenant."""
        if self.failure is not None:
            raise self.failure
        return [self.read.get((tenant, day), DaySums(day)) for day in days]


@dataclass
class FakeMeter:
    """A meter whose `failure` refuses every question."""

    failure: Exception | None = None
    checked: list[Question] = field(default_factory=list)

    async def check(self, question: Question) -> None:
        """Note the question."""
        self.checked.append(question)
        if self.failure is not None:
            raise self.failure


@dataclass
class FakeRates:
    """The limits of each key, none of which comes back; remembers what was taken and settled."""

    taken: list[Taken] = field(default_factory=list)
    settled: list[tuple[str, int, int]] = field(default_factory=list)
    left: dict[str, tuple[int, int]] = field(default_factory=dict)

    async def take(self, key_id: str, limit: RateLimit, *, tokens: int = 0) -> Taken:
        """Take one request and the tokens if they are there."""
        requests, left = self.left.get(key_id, (limit.rpm, limit.tpm))
        allowed = (limit.rpm == 0 or requests >= 1) and (limit.tpm == 0 or left >= tokens)
        if allowed:
            requests, left = requests - 1, left - tokens
        self.left[key_id] = (requests, left)
        self.taken.append(Taken(limit, allowed, requests, left, tokens, shared=True))
        return self.taken[-1]

    def settle(self, key_id: str, *, taken: int, used: int) -> None:
        """Note what was settled."""
        self.settled.append((key_id, taken, used))


@dataclass
class FakeCosts:
    """A watch that notes which tenants it saw."""

    tenants: set[str] = field(default_factory=set)
    told: dict[AlarmKind, int] = field(default_factory=lambda: {"cost_drift": 0, "cost_target": 2})

    def saw(self, tenant: str) -> None:
        """Note the tenant."""
        self.tenants.add(tenant)


@dataclass
class FakeExperiments:
    """Experiments whose sums a test sets; remembers what was seen."""

    settings: tuple[ExperimentSettings, ...] = ()
    ended: frozenset[str] = frozenset()
    seen: list[tuple[str, str, str, dict[Loss, float]]] = field(default_factory=list)
    added: dict[tuple[str, str], dict[Loss, LossSums]] = field(default_factory=dict)
    ratings: list[tuple[str, bool]] = field(default_factory=list)

    async def stopped(self) -> frozenset[str]:
        """Return what the test says."""
        return self.ended

    def saw(self, experiment: str, variant: str, *, answer_id: str, losses: dict[Loss, float]) -> None:
        """Note an answer."""
        self.seen.append((experiment, variant, answer_id, losses))

    async def rated(self, answer_id: str, *, liked: bool) -> None:
        """Note a rating."""
        self.ratings.append((answer_id, liked))

    async def sums(self, experiment: str, variant: str) -> dict[Loss, LossSums]:
        """Return what the test says, nothing for the rest."""
        return dict.fromkeys(LOSSES, LossSums()) | self.added.get((experiment, variant), {})


@dataclass
class FakeOutbox:
    """Writes under way: how many wait, and how many were lost."""

    waiting: int = 0
    dropped: int = 0


@dataclass
class FakeAccounts:
    """The books of the service."""

    meter: FakeMeter = field(default_factory=FakeMeter)
    ledger: FakeLedger = field(default_factory=FakeLedger)
    costs: FakeCosts = field(default_factory=FakeCosts)
    outbox: FakeOutbox = field(default_factory=FakeOutbox)


@dataclass
class FakeFeedback:
    """Notes of answers by tenant and id, and what they were called."""

    noted: dict[tuple[str, str], Given] = field(default_factory=dict)
    rated: list[tuple[str, str, str]] = field(default_factory=list)

    def given(self, answer: Answer, question: Question) -> None:
        """Note the answer."""
        self.noted[question.tenant, answer.id] = Given(question.collection, "entry-1", "semantic", 0.9)

    async def rate(self, tenant: str, answer_id: str, *, rating: Rating, comment: str = "") -> Given:
        """Keep the rating."""
        if (tenant, answer_id) not in self.noted:
            raise NotFound("There is no such answer.")
        self.rated.append((answer_id, rating, comment))
        return self.noted[tenant, answer_id]


@dataclass
class FakeKept:
    """Kept answers: what it was told."""

    ratings: list[tuple[str, str, bool]] = field(default_factory=list)
    deleted: list[tuple[str, str, str]] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)

    def document_deleted(self, tenant: str, collection: str, document_id: str) -> None:
        """Note it."""
        self.deleted.append((tenant, collection, document_id))

    async def forget(self, tenant: str, answer_id: str) -> bool:
        """Forget it."""
        kept = self.answers.get(tenant, [])
        if answer_id not in kept:
            return False
        kept.remove(answer_id)
        return True

    async def forget_all(self, tenant: str) -> int:
        """Forget them."""
        return len(self.answers.pop(tenant, []))


@dataclass
class FakeKeeper:
    """Keeps the ids of answers, whatever they are."""

    store: FakeKept = field(default_factory=FakeKept)

    def given(self, answer: Answer, question: Question) -> None:
        """Keep it."""
        self.store.answers.setdefault(question.tenant, []).append(answer.id)

    def rated(self, tenant: str, answer_id: str, *, liked: bool) -> None:
        """Note it."""
        self.store.ratings.append((tenant, answer_id, liked))


@dataclass
class FakeCache:
    """A cache that notes what it was told."""

    disliking: list[tuple[str, str, str, float | None]] = field(default_factory=list)
    cleared: list[tuple[str, str | None]] = field(default_factory=list)
    known: Known | None = None

    async def learned(self, tenant: str, collection: str) -> Known | None:
        """Return what it was told to know of one collection of one tenant."""
        return self.known if (tenant, collection) == ("acme", "c") else None

    async def disliked(self, tenant: str, collection: str, entry: str, *, score: float | None) -> None:
        """Note it."""
        self.disliking.append((tenant, collection, entry, score))

    async def clear(self, tenant: str, collection: str | None = None) -> int:
        """Note it."""
        self.cleared.append((tenant, collection))
        return 3


@dataclass
class FakeAudit:
    """Keeps what it is told."""

    events: list[AuditEvent] = field(default_factory=list)

    def record(self, event: AuditEvent) -> None:
        """Note it."""
        self.events.append(event)


@dataclass
class FakeService:
    """Everything the HTTP layer drives."""

    settings: Settings = field(default_factory=lambda: Settings(queue_wait_s=0.05, drain_s=5))
    library: FakeLibrary = field(default_factory=FakeLibrary)
    pipeline: FakePipeline = field(default_factory=FakePipeline)
    keys: FakeKeys = field(default_factory=FakeKeys)
    conversations: FakeConversations = field(default_factory=FakeConversations)
    jobs: FakeJobs = field(default_factory=FakeJobs)
    batches: FakeDesk = field(default_factory=FakeDesk)
    idempotency: FakeIdempotency = field(default_factory=FakeIdempotency)
    accounts: FakeAccounts = field(default_factory=FakeAccounts)
    feedback: FakeFeedback = field(default_factory=FakeFeedback)
    keeper: FakeKeeper = field(default_factory=FakeKeeper)
    cache: FakeCache = field(default_factory=FakeCache)
    rates: FakeRates = field(default_factory=FakeRates)
    experiments: FakeExperiments = field(default_factory=FakeExperiments)
    audit: FakeAudit = field(default_factory=FakeAudit)
    fetch: UrlFetcher = field(default_factory=lambda: UrlFetcher(UrlIngestSettings()))
    checks: dict[str, str] = field(default_factory=lambda: {"index": "ok", "redis": "ok", "embedder": "ok"})

    async def warm(self) -> None:
        """Do nothing."""

    def breakers(self) -> dict[str, BreakerState]:
        """Return the breakers of the test."""
        return {"small": "open", "large": "closed"}

    async def readiness(self) -> dict[str, str]:
        """Return what the test says."""
        return self.checks

    def reset(self) -> None:
        """Forget everything, in place: the server in front holds these very objects."""
        kept = (self.library, self.pipeline, self.keys, self.conversations, self.jobs, self.idempotency, self.keeper)
        vars(self.batches.store).update(vars(FakeBatchStore()))
        for part in (
            *kept,
            self.accounts,
            self.rates,
            self.experiments,
            self.feedback,
            self.cache,
            self.audit,
        ):
            vars(part).update(vars(type(part)()))
        self.checks = {"index": "ok", "redis": "ok", "embedder": "ok"}
        self.fetch = UrlFetcher(UrlIngestSettings())


@dataclass(frozen=True)
class Served:
    """A service behind a socket."""

    service: FakeService
    url: str
    server: DrainingServer
    lifetime: Lifetime

    def client(self, key: str | None = KEY) -> httpx.Client:
        """Return a client that presents a key."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10, trust_env=False, verify=False)  # noqa: S501 - no TLS here, and reading the roots is slow

    def post(self, path: str, body: object, *, key: str | None = KEY, **headers: str) -> httpx.Response:
        """Return the response to a JSON body."""
        # Escaped by hand: httpx cannot send a lone surrogate, other clients can.
        content = json.dumps(body).encode()
        sent = {
            "Content-Type": "application/json",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        with self.client(key) as client:
            return client.post(path, content=content, headers=sent)

    def get(self, path: str, *, key: str | None = KEY) -> httpx.Response:
        """Return the response to a GET."""
        with self.client(key) as client:
            return client.get(path)

    def events(self, body: dict[str, object]) -> list[tuple[str, Any]]:
        """Return the events of a streamed answer."""
        return events_of(self.post("/answer", {**body, "stream": True}).text)


def eventually(condition: Callable[[], bool], *, within_s: float = 60) -> None:
    """Return once the condition holds. Raises: `AssertionError` if it does not in time."""
    ends = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends, "it never happened"
        time.sleep(0.005)


def events_of(text: str) -> list[tuple[str, Any]]:
    """Return the events of a stream: name and data."""
    blocks = [block.split("\n") for block in text.strip().split("\n\n") if not block.startswith(":")]
    return [(lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))) for lines in blocks]


@contextmanager
def served(service: FakeService | None = None) -> Iterator[Served]:
    """Serve a service on a free port of this machine for the block, in another thread."""
    made = service or FakeService()
    lifetime, started = Lifetime(), threading.Event()
    app = create_app(lambda: nullcontext(made), made.settings, lifetime=lifetime)  # type: ignore[arg-type,return-value]
    server = DrainingServer(app, lifetime=lifetime, drain_s=made.settings.drain_s, on_started=started.set)
    bound = listening_socket("127.0.0.1", 0)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([bound])))
    thread.start()
    try:
        assert started.wait(60), "the server did not start"
        yield Served(made, url_of(bound), server, lifetime)
    finally:
        server.should_exit = True
        thread.join(15)
        bound.close()
