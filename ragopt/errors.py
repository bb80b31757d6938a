"""Everything the service raises on purpose, beside `indexes.errors`.

RagoptError
├── ConfigError               a setting is wrong; names it
├── InvalidRequest            well formed, but cannot be served
│   ├── QuestionTooLong
│   ├── UnknownModel
│   ├── ModelNotAllowed       the key does not reach up to the model's tier
│   ├── UrlsOff               documents by URL are not allowed
│   ├── UrlRefused            what a URL names, or what came from there, is not allowed
│   ├── UrlUnreachable        what a URL names did not come
│   ├── ModelBarred           the collection's text may not go where the model runs
│   ├── QuestionRefused       the question tries to take over the model, or asks for what harms
│   └── PayloadTooLarge
├── AuthError
│   ├── MissingKey
│   └── MissingScope
├── NotFound
├── TwoSecrets                the key has a new secret and an old one already
├── IdempotencyConflict       the same key with another body, or still running
├── Overloaded                no place, or no room in the line for one
│   └── Draining              the service is about to stop
├── RateLimited               the key's requests or tokens per minute are used up
├── DeadlineExceeded
├── BatchCancelled            a request of a batch that was cancelled before it was answered
├── BudgetSpent               what the call may cost does not fit a USD budget
│   ├── BudgetUnreachable     Redis does not answer: no money is spent that cannot be counted
│   └── PriceUnknown          a model without a price is not called under a USD budget
├── StateUnavailable          Redis does not answer and the request cannot go on without it
│   └── ConversationUnavailable   nor can an answer without its history
└── ProviderError             a model call failed
    ├── ProviderUnavailable   connect, 408, 409, 5xx: another attempt may work
    │   ├── ProviderTimeout   no complete answer in time
    │   ├── ProviderThrottled 429: another attempt may work after `retry_after_s`
    │   ├── ProviderOverloaded  529, or 503 `server_is_overloaded`: wait longer, or ask another
    │   └── ModelPaused       not asked: its breaker is open, or a limit of ours for it is reached
    ├── ProviderRejected      400, 404, 413, 422: another attempt will not
    │   ├── KeyRefused        401, 403: nor will any other call with this key
    │   ├── QuotaSpent        402, and 429 or 400 of a spent quota or spend limit: no waiting cures it
    │   └── PromptTooLong     over the model's context window: a shorter prompt may work
    ├── IncompleteStream      the answer ended before its terminal event
    ├── UnusableAnswer        no model's answer matched the schema that was asked for
    └── ProviderProtocolError what came back is not the protocol
"""

from __future__ import annotations

from typing import Literal, TypeAlias

# What a budget that is spent leaves: cheaper models and at last the extractive answer, answers of the
# response cache, nothing at all, or the extractive answer.
WhenSpent: TypeAlias = Literal["cheaper_tier", "cached_only", "refuse", "extractive"]


class RagoptError(Exception):
    """Base of every error of the service; `code` is stable and machine readable.

    retry_after_s: in how many seconds another try may work, None where that is not known.
    """

    code = "internal_error"
    retry_after_s: float | None = None

    @property
    def detail(self) -> str:
        """Return the sentence for a person."""
        return str(self)


class ConfigError(RagoptError):
    """A setting is missing or wrong; the message names it."""

    code = "invalid_configuration"


class InvalidRequest(RagoptError):
    """The request is well formed but cannot be served."""

    code = "invalid_request"


class QuestionTooLong(InvalidRequest):
    """The question is over its token limit."""

    code = "question_too_long"


class UnknownModel(InvalidRequest):
    """`model` is neither `auto` nor a configured name."""

    code = "unknown_model"


class ModelNotAllowed(InvalidRequest):
    """The key's ceiling is below the model's tier."""

    code = "model_not_allowed"


class ModelBarred(InvalidRequest):
    """No model that could be called runs where the collection's text may go."""

    code = "model_barred"


class QuestionRefused(InvalidRequest):
    """The question tries to take over the model or asks for harm, and the collection's policy refuses that."""

    code = "question_refused"


class PayloadTooLarge(InvalidRequest):
    """The request body is over its limit."""

    code = "payload_too_large"


class UrlsOff(InvalidRequest):
    """The operator does not let documents be fetched by URL."""

    code = "url_ingest_off"


class UrlRefused(InvalidRequest):
    """A URL that may not be fetched, or what is there is nothing that may be taken in."""

    code = "url_refused"


class UrlUnreachable(InvalidRequest):
    """What a URL names did not come: no connection, an error, or not in time."""

    code = "url_unreachable"


class AuthError(RagoptError):
    """The caller may not do this."""

    code = "unauthorized"


class MissingKey(AuthError):
    """No API key, or one that is unknown, expired or revoked."""

    code = "invalid_api_key"


class MissingScope(AuthError):
    """The key lacks the scope of the endpoint."""

    code = "missing_scope"


class NotFound(RagoptError):
    """No such job, key or conversation for this tenant."""

    code = "not_found"


class TwoSecrets(RagoptError):
    """The key has two live secrets: a third would need one of them to end first."""

    code = "two_secrets"


class IdempotencyConflict(RagoptError):
    """The Idempotency-Key was used with another body, or its first request still runs."""

    code = "idempotency_conflict"


class Overloaded(RagoptError):
    """No place came free within the time a caller waits, or too many wait already."""

    code = "overloaded"

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Draining(Overloaded):
    """The service is about to stop: it takes no new work, and ends what did not end in time."""

    code = "draining"


class RateLimited(RagoptError):
    """The key's requests or tokens per minute are used up, or its questions open in batches."""

    code = "rate_limited"

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DeadlineExceeded(RagoptError):
    """The request's total time ran out."""

    code = "deadline_exceeded"


class BatchCancelled(RagoptError):
    """The batch was cancelled before this request of it was answered."""

    code = "batch_cancelled"


class BudgetSpent(RagoptError):
    """What the model call may cost does not fit a budget that applies.

    when_spent: what the operator wants instead; of several budgets, the strictest.
    """

    code = "budget_spent"

    def __init__(self, message: str = "", *, when_spent: WhenSpent = "refuse") -> None:
        super().__init__(message)
        self.when_spent = when_spent


class BudgetUnreachable(BudgetSpent):
    """Redis does not answer, so no model is called under a hard budget."""

    code = "budget_unreachable"


class PriceUnknown(BudgetSpent):
    """The model has no known price, so it is not called under a USD budget."""

    code = "price_unknown"


class StateUnavailable(RagoptError):
    """Redis does not answer and the request cannot go on without it."""

    code = "state_unavailable"


class ConversationUnavailable(StateUnavailable):
    """Redis does not answer, so the conversation is not known; an answer without its history is none."""

    code = "conversation_unavailable"


class ProviderError(RagoptError):
    """A model call failed, and so did every fallback.

    retryable: whether the same call of the same model may be tried again. status: of HTTP, None where
    there was none. retry_after_s: what the provider asked to wait, None where it did not. request_id:
    the provider's, for a question to its support.
    """

    code = "provider_error"
    retryable = False

    def __init__(
        self,
        message: str = "",
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
        request_id: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after_s = retry_after_s
        self.request_id = request_id


class ProviderUnavailable(ProviderError):
    """The provider is down or slow: another attempt may work."""

    code = "provider_unavailable"
    retryable = True


class ProviderTimeout(ProviderUnavailable):
    """No complete answer came in time."""

    code = "provider_timeout"


class ProviderThrottled(ProviderUnavailable):
    """Too many requests or tokens: another attempt may work after `retry_after_s`."""

    code = "provider_throttled"


class ProviderOverloaded(ProviderUnavailable):
    """The provider sheds load: wait longer than after other failures, or ask another one."""

    code = "provider_overloaded"


class ModelPaused(ProviderUnavailable):
    """The model was not asked: its circuit breaker is open, or a limit of ours for it is reached."""

    code = "model_paused"
    retryable = False


class ProviderRejected(ProviderError):
    """The provider refuses this request: another attempt will not work."""

    code = "provider_rejected"


class KeyRefused(ProviderRejected):
    """The provider refuses the key, or the key may not use this model."""

    code = "provider_key_refused"


class QuotaSpent(ProviderRejected):
    """The quota, the credit or the spend limit is used up: no waiting cures it."""

    code = "provider_quota_spent"


class PromptTooLong(ProviderRejected):
    """The prompt does not fit the model's context window: a shorter one may."""

    code = "prompt_too_long"


class IncompleteStream(ProviderError):
    """The answer ended before its terminal event; what was received is not the whole of it."""

    code = "incomplete_stream"
    retryable = True


class UnusableAnswer(ProviderError):
    """No model's answer matched the JSON schema of the request, not even once it was asked to mend it."""

    code = "unusable_answer"


class ProviderProtocolError(ProviderError):
    """What came back is not the provider's protocol."""

    code = "provider_protocol_error"
