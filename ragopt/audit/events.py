"""What the audit log says of each act: one frozen value per line."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal, TypeAlias

from indexes.records import IngestResult
from ragopt.domain import Answer, Context, Question

# gap: lines that were lost on overload. torn: the rest of a line that a crash cut off, put aside. end_missing: the file
# ended before the line that was last known to be on disk.
Act: TypeAlias = Literal[
    "ingest", "delete", "release", "context", "answer", "refuse", "batch", "key_created", "key_rotated", "key_revoked",
    "export", "gap", "torn", "end_missing",
]  # fmt: skip
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who: the id of an API key and its tenant. `local`: a command on the machine; "": the service by itself.

    acting_for: the principals that the request named.
    """

    key_id: str
    tenant: str
    acting_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DocumentUse:
    """A document of an act: version None where it is not known; outcome: of an ingest.

    passage: the number of the passage it gave to a prompt; cited: whether the answer cites that passage.
    """

    id: str
    version: int | None = None
    outcome: str | None = None
    passage: int | None = None
    chunk_id: str | None = None
    cited: bool | None = None


@dataclass(frozen=True, slots=True)
class Decisions:
    """How an answer came about. unsupported: claims that no source carries; fallbacks: stages that did without.

    harmful: sentences that were found to be, released or withheld.
    """

    route: str
    tier: str
    cache: str
    abstained: bool
    partial: bool
    unsupported: int
    fallbacks: tuple[str, ...] = ()
    variant: str | None = None
    batch: bool = False
    harmful: int = 0


@dataclass(frozen=True, slots=True)
class Spent:
    """Which model answered, what it read and wrote, and the cost in USD with every digit; None: price not known."""

    model: str
    provider: str
    input_tokens: int
    output_tokens: int
    cost_usd: str | None


@dataclass(frozen=True, slots=True)
class Text:
    """What was asked and answered, word for word."""

    question: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One act. at: Unix seconds. subject: the id of what it is about: an answer, a batch, an ingest job, a key.

    count: requests of a batch, lines of a gap, bytes of a torn line. reason: why a question was refused: `injection`,
    or `harmful:` and the category.
    """

    act: Act
    actor: Actor
    request_id: str = ""
    collection: str = ""
    subject: str = ""
    documents: tuple[DocumentUse, ...] = ()
    spent: Spent | None = None
    decisions: Decisions | None = None
    text: Text | None = None
    count: int | None = None
    reason: str = ""
    at: float = field(default_factory=time.time)

    def without_text(self) -> AuditEvent:
        """Return the event as it is kept where nobody opted in to texts."""
        return replace(self, text=None)

    def content(self) -> dict[str, object]:
        """Return what the line says, without what is empty."""
        said = asdict(self)
        actor = said.pop("actor")
        when = datetime.fromtimestamp(said.pop("at"), UTC).isoformat(timespec="milliseconds")
        said["documents"] = [present(item) for item in said["documents"]]
        return present({"at": when, "act": said.pop("act"), **actor, **said})


def present(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields that say something: not None, not "", not empty."""
    return {name: value for name, value in fields.items() if value is not None and value not in ("", [], ())}


def to_json(content: Mapping[str, object]) -> bytes:
    """Return one line without its end: ASCII, so that no reader splits it elsewhere."""
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def answered(
    answer: Answer,
    question: Question,
    *,
    request_id: str = "",
    fallbacks: Sequence[str] = (),
    batch: bool = False,
) -> AuditEvent:
    """Return the line of an answer; its passages are all that the model was shown, or that a cached one was made of."""
    usage = answer.usage
    cost_usd = None if usage.cost_usd is None else format(usage.cost_usd, "f")
    decisions = Decisions(
        route=answer.route.reason,
        tier=answer.route.tier,
        cache=answer.cache.status,
        abstained=answer.abstained,
        partial=answer.partial,
        unsupported=sum(claim.support == "unsupported" for claim in answer.claims),
        fallbacks=tuple(fallbacks),
        variant=question.variant or None,
        batch=batch,
        harmful=answer.checks.harmful,
    )
    return AuditEvent(
        "answer",
        Actor(question.key_id, question.tenant, question.acting_for),
        request_id,
        question.collection,
        answer.id,
        documents=passages_of(answer.context, cited=frozenset(citation.n for citation in answer.citations)),
        spent=Spent(answer.route.model, answer.route.provider, usage.total_input_tokens, usage.output_tokens, cost_usd),
        decisions=decisions,
        text=Text(question.text, answer.text),
    )


def found(context: Context, question: Question, *, request_id: str) -> AuditEvent:
    """Return the line of passages that were handed out without an answer."""
    actor = Actor(question.key_id, question.tenant, question.acting_for)
    documents = passages_of(context, cited=None)
    text = Text(question.text)
    return AuditEvent("context", actor, request_id, question.collection, documents=documents, text=text)


def passages_of(context: Context, *, cited: frozenset[int] | None) -> tuple[DocumentUse, ...]:
    """Return the passages in their order; cited: the numbers that an answer cites, None where there is none."""
    return tuple(
        DocumentUse(
            passage.document_id,
            passage.version,
            passage=passage.n,
            chunk_id=passage.chunk_id,
            cited=None if cited is None else passage.n in cited,
        )
        for passage in context.passages
    )


def stored(results: Sequence[IngestResult]) -> tuple[DocumentUse, ...]:
    """Return the documents of an ingest and what became of each."""
    return tuple(DocumentUse(result.id, result.version, outcome=result.status) for result in results)
