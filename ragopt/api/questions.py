"""The body of a request and the key of its caller to a question, as the pipeline takes it."""

from __future__ import annotations

from dataclasses import replace

from ragopt.api.schemas import AnswerRequest, ContextRequest
from ragopt.config import Settings
from ragopt.domain import QueryKnobs, Question, Turn
from ragopt.pipeline import answer_id
from ragopt.settings.collections import told_of
from ragopt.state.conversations import Conversation
from ragopt.state.key_records import ApiKey


def bare_question(body: ContextRequest, caller: ApiKey, *, settings: Settings) -> Question:
    """Return what a question for passages alone says, for everybody of the key's tenant."""
    usual = settings.knobs_of(tenant=caller.tenant, collection=body.collection)
    return Question(
        text=body.question,
        tenant=caller.tenant,
        collection=body.collection,
        history=turns(body),
        knobs=knobs(body, usual),
        filter=body.filter,
        budget_named=names_more(body, usual),
        key_id=caller.id,
        acting_for=caller.acting_for,
    )


def question_of(body: AnswerRequest, caller: ApiKey, *, kept: Conversation, settings: Settings) -> Question:
    """Return the question as the pipeline takes it, for everybody of the key's tenant."""
    told = told_of(settings.collections, tenant=caller.tenant, collection=body.collection)
    return replace(
        bare_question(body, caller, settings=settings),
        history=kept.turns or turns(body),
        summary=kept.summary,
        model=body.model,
        max_output_tokens=min(body.max_output_tokens, settings.max_output_tokens) if body.max_output_tokens else None,
        cache=body.cache,
        cache_similar=body.cache_policy.semantic,
        cache_max_wrong=body.cache_policy.max_wrong or 1.0,
        labels=caller.labels(body.labels.model_dump(exclude_none=True)),
        trusted_labels=caller.vouched(),
        answer_id=answer_id(),
        tier_floor=caller.tier_floor,
        tier_ceiling=caller.tier_ceiling,
        streamed=body.stream,
        max_sentences=body.max_sentences,
        answer_schema=body.response_format.schema_text() if body.response_format else "",
        instructions=told.instructions,
        examples=told.examples,
    )


def knobs(body: ContextRequest, usual: QueryKnobs) -> QueryKnobs:
    """Return the request's knobs, the usual ones of its collection where it names none."""
    return replace(
        usual,
        context_tokens=body.token_budget or usual.context_tokens,
        top_k=body.top_k or usual.top_k,
    )


def names_more(body: ContextRequest, usual: QueryKnobs) -> bool:
    """Return whether the request names a larger token budget than the usual one of its collection."""
    return (body.token_budget or 0) > usual.context_tokens


def turns(body: ContextRequest) -> tuple[Turn, ...]:
    """Return the history that the request carries."""
    return tuple(Turn(turn.role, turn.content) for turn in body.history)
