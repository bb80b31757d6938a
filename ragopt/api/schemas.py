"""The wire format: what requests may hold and what responses look like, exactly as the contract says.

Strict: no type is coerced and no unknown field is ignored.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from ragopt.api.fields import (
    CollectionName,
    Label,
    Money,
    Name,
    QuestionText,
    SpanPair,
    Text,
)
from ragopt.api.filters import MAX_FILTER_KEYS, FilterValues
from ragopt.api.json_schemas import wrong_schema
from ragopt.domain import CacheMode, CacheStatus, Outcome, Role, Stop, Support, Technique, Tier
from ragopt.settings.collections import Unsupported


class Wire(BaseModel):
    """A strict, frozen object of the wire format."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TurnIn(Wire):
    """One earlier message, oldest first."""

    role: Role
    content: Text


class ContextRequest(Wire):
    """A question for retrieval and packing alone."""

    question: QuestionText
    history: list[TurnIn] = Field(default_factory=list, max_length=1_000)
    collection: CollectionName = "default"
    token_budget: Annotated[int, Field(ge=1, le=200_000)] | None = None
    top_k: Annotated[int, Field(ge=1, le=1_000)] | None = None
    filter: dict[Name, FilterValues] = Field(
        default_factory=dict,
        max_length=MAX_FILTER_KEYS,
        description="metadata that a document must have: every key, and of a list any value",
    )


class Labels(Wire):
    """Whom the cost of a question is counted to."""

    user: Label | None = None
    team: Label | None = None
    feature: Label | None = None


class ResponseFormat(Wire):
    """The form of the answer: words, or JSON that matches `json_schema`, with its citations inside the strings."""

    type: Literal["text", "json_schema"]
    json_schema: dict[str, object] | None = None

    @model_validator(mode="after")
    def schema_can_be_held_to(self) -> ResponseFormat:
        """Return the format if it has a schema exactly where it needs one, and one that answers can be held to."""
        if (self.type == "json_schema") != (self.json_schema is not None):
            raise PydanticCustomError("json_schema", "`json_schema` goes with the type `json_schema`, and only with it")
        if self.json_schema is not None and (wrong := wrong_schema(self.json_schema)):
            raise PydanticCustomError("json_schema", "{wrong}", {"wrong": wrong})
        return self

    def schema_text(self) -> str:
        """Return the schema as JSON, the same for the same schema; "" for an answer in words."""
        return "" if self.json_schema is None else json.dumps(self.json_schema, ensure_ascii=False, sort_keys=True)


class CachePolicy(Wire):
    """What a request asks of the response cache beyond its mode; it can only make it stricter than the operator did."""

    semantic: Annotated[bool, Field(description="whether the answer to a question in other words may be served")] = True
    max_wrong: Annotated[
        float | None, Field(gt=0, lt=1, description="share of such answers that may be wrong; the smaller bound holds")
    ] = None


class AnswerRequest(ContextRequest):
    """A question to answer, with its history or the id of a conversation that the service keeps."""

    conversation_id: Annotated[Name, StringConstraints(max_length=128)] | None = None
    stream: bool = False
    model: Name = "auto"
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    cache: CacheMode = "on"
    cache_policy: CachePolicy = CachePolicy()
    labels: Labels = Labels()
    response_format: ResponseFormat | None = None
    max_sentences: Annotated[int, Field(ge=1, le=1_000)] | None = None

    @model_validator(mode="after")
    def one_history(self) -> AnswerRequest:
        """Return the request unless it carries a history and names a conversation."""
        if self.conversation_id is not None and self.history:
            raise PydanticCustomError("two_histories", "Send either conversation_id or history, not both")
        return self


class FeedbackRequest(Wire):
    """A rating of an answer."""

    answer_id: Name
    rating: Annotated[Literal["up", "down", 1, -1], Field(description="`up` or 1, `down` or -1")]
    comment: Annotated[Text, StringConstraints(max_length=10_000)] = ""


class FeedbackOut(Wire):
    """The rating as it is kept."""

    answer_id: str
    rating: Literal["up", "down"]


class CacheCleared(Wire):
    """How many answers were forgotten."""

    deleted: int


class PassageOut(Wire):
    """One packed passage; `spans` index the document's text."""

    n: int
    document_id: str
    version: int
    chunk_id: str
    title: str
    spans: list[SpanPair]
    text: str
    tokens: int
    score: float


class ContextOut(Wire):
    """The packed passages of a question."""

    question: str
    standalone_question: str
    token_budget: int
    tokens: int
    stopped_by: Annotated[Stop, Field(description="why the passages are not more")]
    passages: list[PassageOut]


class ContextResponse(ContextOut):
    """The packed passages of a question, and where the time went."""

    timings_ms: dict[str, float]


class CitationOut(Wire):
    """One `[n]` of the answer and the words of the document that carry it."""

    n: int
    document_id: str
    version: int
    chunk_id: str
    title: str
    answer_start: int
    answer_end: int
    source_start: int | None
    source_end: int | None
    quote: str | None
    support: Support
    score: float


class ClaimOut(Wire):
    """One claim of the answer, cited or not: held to the passages it cites, else to the whole context."""

    answer_start: int
    answer_end: int
    cited: list[int]
    support: Support
    score: float


class ChecksOut(Wire):
    """What checking did to the answer: sentences left out, asked for and delivered, and how often it was mended."""

    policy: Unsupported
    judge: str
    dropped: int
    cut: int
    max_sentences: int | None
    sentences: int
    max_output_tokens: int | None
    corrections: int
    harmful: int
    withheld: int
    personal_data: dict[str, int]


class AttemptOut(Wire):
    """One call of one model."""

    model: str
    outcome: Outcome
    detail: str
    ms: float


class RouteOut(Wire):
    """Which model answered, and why."""

    provider: str
    model: str
    tier: Tier
    score: float | None
    reason: str
    attempts: list[AttemptOut]


class CacheOut(Wire):
    """What the response cache did."""

    status: CacheStatus
    kind: Literal["exact", "semantic"] | None
    similarity: float | None
    age_s: float | None


class UsageOut(Wire):
    """Tokens in disjoint buckets, and what they cost; null where the price is not known."""

    input_tokens: int
    cached_input_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cost_usd: Money | None
    estimated: bool


class SavingsOut(Wire):
    """What `[baseline]` would have cost, and what was saved by each step, which may be less than nothing."""

    baseline_cost_usd: Money
    saved_usd: Money
    by_technique: dict[Technique, Money]


class StageOut(Wire):
    """One run of a stage, in milliseconds since the request came."""

    stage: str
    start_ms: float
    end_ms: float


class AnswerResponse(Wire):
    """The whole answer; `savings` is null where a price is not known.

    `stages`: in the order in which they ended. `fallbacks`: optional stages that failed, and why.
    """

    id: str
    answer: str
    abstained: bool
    partial: bool
    citations: list[CitationOut]
    claims: list[ClaimOut]
    checks: ChecksOut
    context: ContextOut
    route: RouteOut
    cache: CacheOut
    usage: UsageOut
    savings: SavingsOut | None
    prompt_tokens: Annotated[dict[str, int], Field(description="of each part of the prompt, in o200k_base")]
    conversation_id: str | None
    timings_ms: dict[str, float]
    stages: list[StageOut]
    fallbacks: dict[str, str]
    variant: Annotated[str | None, Field(description="of a live experiment: `experiment/variant`")]


class SummaryOut(Wire):
    """What stands for the first `turns` turns of a conversation; `version` counts how often it was written anew."""

    blocks: list[str]
    turns: int
    version: int


class ConversationOut(Wire):
    """The newest turns of a conversation, oldest first; `older_turns` is how many there were before them."""

    conversation_id: str
    turns: list[TurnIn]
    older_turns: int
    summary: SummaryOut | None


class Readiness(Wire):
    """Whether the service can answer, and the state of each thing it needs."""

    status: Literal["ok", "degraded", "down", "draining"]
    checks: dict[str, str]


class ProblemOut(Wire):
    """An error: RFC 9457 problem details with a stable `code`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []
