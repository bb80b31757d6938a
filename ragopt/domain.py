"""The nouns of a question and its answer: frozen values, over the standard library alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Literal, TypeAlias, get_args

from indexes.access import ANYONE, Reader
from ragopt.checks import CheckedClaim, Checks

Span: TypeAlias = tuple[int, int]
Scalar: TypeAlias = str | int | float | bool
Role: TypeAlias = Literal["user", "assistant"]
Support: TypeAlias = Literal["supported", "unsupported", "unchecked"]
CacheMode: TypeAlias = Literal["on", "off", "read_only", "write_only"]
CacheStatus: TypeAlias = Literal["hit", "miss", "bypass"]
CacheKind: TypeAlias = Literal["exact", "semantic"]
Tier: TypeAlias = Literal["simple", "medium", "complex"]
TIER_RANK: Mapping[Tier, int] = MappingProxyType({"simple": 0, "medium": 1, "complex": 2})
Outcome: TypeAlias = Literal["ok", "error", "rejected"]
# Why the passages are not more: the budget is used up, the rest is much less relevant, nothing is left, nothing is
# relevant, or a model that may answer charges more for every token of a longer prompt.
Stop: TypeAlias = Literal["budget", "relevance", "exhausted", "irrelevant", "price_edge"]
FusionMethod: TypeAlias = Literal["rrf", "score"]

Technique: TypeAlias = Literal[
    "context", "history", "prompt", "routing", "response_cache", "prompt_cache", "batch", "retries"
]
# In the order of the path: each is priced against the one before.
TECHNIQUES: tuple[Technique, ...] = get_args(Technique)

# Between the spans of a passage, and between the passages of a context where their tokens are counted.
SPAN_SEPARATOR = " … "
PASSAGE_SEPARATOR = "\n\n"


@dataclass(frozen=True, slots=True)
class Turn:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What stands for the first `folded` turns of a conversation.

    blocks: one for each time that turns were folded in, oldest first; a block is never changed, only all of them are
    replaced by one, which `version` counts.
    """

    blocks: tuple[str, ...] = ()
    folded: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class QueryKnobs:
    """What may change per request and what the tuner searches.

    context_tokens: budget of the packed passages in o200k_base tokens. top_k: fused hits that reach
    reranking and packing. neighbours: how far around the first ten of them further chunks join; 0: none.
    relevance_floor: packing ends where a sentence is worth less than this share
    of the best one; 0 fills the budget. redundancy: what a sentence that repeats a packed one loses of
    its value, which is about 1 for the best. min_relevance: a question to which nothing is as relevant
    gets no passages, and so an abstention; see `ragopt.stages.pack.relevance`. rerank_depth: most hits
    that a cross-encoder may judge. rerank_deadline_ms: from the start of reranking until what it has not
    judged is cut off. fusion: how the dense and the BM25 ranking become one, by rank or by score.
    dense_weight: share of the dense side in it, in [0, 1]; BM25 has the rest.
    """

    context_tokens: int = 800
    top_k: int = 50
    relevance_floor: float = 0.5
    redundancy: float = 0.1
    min_relevance: float = 0.0
    rerank_depth: int = 50
    rerank_deadline_ms: int = 120
    neighbours: int = 0
    fusion: FusionMethod = "rrf"
    dense_weight: float = 0.5

    def digest(self) -> str:
        """Return 16 hex digits that change when any knob does; part of cache keys, logs and reports."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Question:
    """What a caller asks, with everything that decides the answer.

    `tenant` comes from the authenticated key. `text` is the last user message, `history` what came
    before it, oldest first. `model` is `auto` or a configured name. `filter`: metadata keys, each with
    the values of which a document must have one; {} for every document. `labels` attribute the cost to a user, a
    team and a feature; `trusted_labels` are those of them that the key vouches for. `key_id` is of the key that
    asked, `answer_id` what the answer will be called; "" lets the pipeline choose. tier_floor, tier_ceiling: the
    tiers that the key's route stays within. streamed: whether the caller reads the answer while it is written.
    cache_similar: whether the answer to a question in other words may be served from the cache. cache_max_wrong: the
    share of such answers that may be wrong; the operator's holds where it is smaller.
    budget_named: whether the request named `knobs.context_tokens`, and more than is usual for its collection.
    instructions: what the application asks of the answer's form; it stands behind our rules and never replaces them.
    examples: good answers that the prompt shows behind that, as text; "" for none.
    variant: `experiment/variant` where the question takes part in one, "" where it does not.
    summary: of the first turns of `history`, kept from an earlier turn; None where none is.
    reader: who it is asked for, which decides what documents it may be answered from. acting_for: the principals that
    the request named, as the audit log tells them.
    max_output_tokens: what the request bounds its answer to, None where it leaves that to the settings.
    max_sentences: of the answer, None for no bound. answer_schema: the JSON schema that the answer is to match, as
    JSON; "" for an answer in words.
    """

    text: str
    tenant: str
    collection: str = "default"
    history: tuple[Turn, ...] = ()
    knobs: QueryKnobs = field(default_factory=QueryKnobs)
    model: str = "auto"
    max_output_tokens: int | None = None
    cache: CacheMode = "on"
    labels: Mapping[str, str] = field(default_factory=dict)
    filter: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    trusted_labels: frozenset[str] = frozenset()
    key_id: str = ""
    answer_id: str = ""
    tier_floor: Tier = "simple"
    tier_ceiling: Tier = "complex"
    streamed: bool = False
    cache_similar: bool = True
    cache_max_wrong: float = 1.0
    budget_named: bool = False
    instructions: str = ""
    examples: str = ""
    variant: str = ""
    summary: Summary | None = None
    max_sentences: int | None = None
    answer_schema: str = ""
    reader: Reader = ANYONE
    acting_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of one chunk that was packed.

    n: its number in prompt, stream and citations, from 1. spans: ascending, disjoint, in the
    document's text. text: those spans joined by ` … `. tokens: of `text`, in o200k_base.
    score: the reranker's, higher is better, comparable within one context only. units: the spans of
    its sentences, list items, table rows or code lines, ascending, each within one of `spans`.
    """

    n: int
    document_id: str
    version: int
    chunk_id: str
    title: str
    spans: tuple[Span, ...]
    text: str
    tokens: int
    score: float
    units: tuple[Span, ...]

    def source_text(self, start: int, end: int) -> str:
        """Return the document's text at [start, end), which lies within one of `spans`; "" if it does not."""
        offset = 0
        for span_start, span_end in self.spans:
            if span_start <= start and end <= span_end:
                return self.text[offset + start - span_start : offset + end - span_start]
            offset += span_end - span_start + len(SPAN_SEPARATOR)
        return ""


@dataclass(frozen=True, slots=True)
class Context:
    """The packed passages of a question; `tokens` counts their texts joined by blank lines.

    `stopped_by` says why they are not more. similarities: of the best hits to the question, best first, at
    most ten, in [-1, 1], comparable across questions; () where that is not known.
    """

    question: str
    standalone_question: str
    token_budget: int
    tokens: int
    passages: tuple[Passage, ...]
    generation: int
    stopped_by: Stop
    similarities: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Citation:
    """One `[n]` of an answer. Offsets are code points, half open: into the answer, and into the document's text.

    `source_start`, `source_end` and `quote` are None where no part of the passage carries the claim.
    """

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


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call of one model: its configured name, what came of it, a sentence, and milliseconds."""

    model: str
    outcome: Outcome
    detail: str
    ms: float


@dataclass(frozen=True, slots=True)
class Route:
    """Which model answered, and why. `score` is the difficulty in [0, 1], None where nothing scored it."""

    provider: str
    model: str
    tier: Tier
    score: float | None
    reason: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer in disjoint buckets, summed over its attempts.

    input_tokens: not read from and not written to a provider's cache. cache_write_tokens: written for
    the provider's shorter lifetime, cache_write_1h_tokens for an hour. output_tokens: all that is
    billed as output, reasoning included; reasoning_tokens is that part of it, not a bucket. cost_usd:
    None where the price is not known. estimated: True where a provider did not report its usage.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal | None = None
    estimated: bool = False
    cache_write_1h_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def total_input_tokens(self) -> int:
        """Return all of the prompt: what decides the price tier."""
        return self.input_tokens + self.cached_input_tokens + self.cache_write_tokens + self.cache_write_1h_tokens


@dataclass(frozen=True, slots=True)
class BilledCall:
    """One model call that the provider charges for; `usage` holds its cost. model: its configured name."""

    model: str
    usage: Usage
    batch: bool = False


@dataclass(frozen=True, slots=True)
class Savings:
    """What an answer saved in USD against the baseline, by technique; the parts sum to the whole, and may be negative.

    baseline_cost_usd: what `[baseline]` would have cost. by_technique: every technique, in the order of the path.
    """

    baseline_cost_usd: Decimal
    by_technique: Mapping[Technique, Decimal]

    @property
    def saved_usd(self) -> Decimal:
        """Return the sum of the parts."""
        return sum(self.by_technique.values(), Decimal(0))

    def of_hit(self) -> Savings:
        """Return the savings of the same answer read from the response cache, where it cost nothing.

        The steps before the cache saved what they saved; the cache saves all that was left after them.
        """
        before = TECHNIQUES[: TECHNIQUES.index("response_cache")]
        parts = {name: self.by_technique[name] if name in before else Decimal(0) for name in TECHNIQUES}
        parts["response_cache"] = self.baseline_cost_usd - sum(parts.values(), Decimal(0))
        return Savings(self.baseline_cost_usd, parts)


@dataclass(frozen=True, slots=True)
class CacheOutcome:
    """What the response cache did; `kind`, `similarity` and `age_s` are None unless it was a hit.

    similarity: cosine of the two questions, 1 for an exact hit. age_s: seconds since the answer was given.
    score: what the verifier said of a semantic hit, on its own scale; else None. entry: the entry that was
    served, or that the answer would be kept as; "" where there is none.
    """

    status: CacheStatus
    kind: CacheKind | None = None
    similarity: float | None = None
    age_s: float | None = None
    score: float | None = None
    entry: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer. `partial` is True where it ended early or a sentence that nothing supports was left out.

    `savings` is None where a price it needs is not known. prompt_tokens: of each part of the prompt as it was laid
    out, in o200k_base, whoever counted the `usage`; empty where no prompt was. claims: every one of the text, cited
    or not.
    """

    id: str
    text: str
    abstained: bool
    citations: tuple[Citation, ...]
    context: Context
    route: Route
    cache: CacheOutcome
    usage: Usage
    partial: bool = False
    savings: Savings | None = None
    prompt_tokens: Mapping[str, int] = field(default_factory=dict)
    claims: tuple[CheckedClaim, ...] = ()
    checks: Checks = field(default_factory=Checks)

    def again(self, outcome: CacheOutcome, *, question: str, standalone: str) -> Answer:
        """Return the answer as it is given once more, for nothing, to a question in these words."""
        return replace(
            self,
            context=replace(self.context, question=question, standalone_question=standalone),
            cache=outcome,
            usage=Usage(cost_usd=Decimal(0)),
            prompt_tokens={},
            savings=self.savings.of_hit() if self.savings else None,
        )
