"""Everything the service raises on purpose, beside `indexes.errors`.

RagoptError
├── ConfigError               a setting is wrong; names it
├── InvalidRequest            well formed, but cannot be served
│   ├── QuestionTooLong
│   ├── UnknownModel
│   └── PayloadTooLarge
├── AuthError
│   ├── MissingKey
│   └── MissingScope
├── NotFound
├── IdempotencyConflict       the same key with another body, or still running
├── Overloaded                no permit within the time a caller waits
├── DeadlineExceeded
├── StateUnavailable          Redis does not answer and the request cannot go on without it
│   └── ConversationUnavailable   nor can an answer without its history
└── ProviderError             a model call failed
    ├── ProviderUnavailable   connect, 5xx, 429, timeouts: another attempt may work
    ├── ProviderRejected      400, 401, 403, 404, 422: another attempt will not
    ├── IncompleteStream      the stream ended before its terminal event
    └── ProviderProtocolError what came back is not the protocol
"""

from __future__ import annotations


class RagoptError(Exception):
    """Base of every error of the service; `code` is stable and machine readable."""

    code = "internal_error"

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


class PayloadTooLarge(InvalidRequest):
    """The request body is over its limit."""

    code = "payload_too_large"


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


class IdempotencyConflict(RagoptError):
    """The Idempotency-Key was used with another body, or its first request still runs."""

    code = "idempotency_conflict"


class Overloaded(RagoptError):
    """No permit came free within the time a caller waits."""

    code = "overloaded"


class DeadlineExceeded(RagoptError):
    """The request's total time ran out."""

    code = "deadline_exceeded"


class StateUnavailable(RagoptError):
    """Redis does not answer and the request cannot go on without it."""

    code = "state_unavailable"


class ConversationUnavailable(StateUnavailable):
    """Redis does not answer, so the conversation is not known; an answer without its history is none."""

    code = "conversation_unavailable"


class ProviderError(RagoptError):
    """A model call failed, and so did every fallback."""

    code = "provider_error"


class ProviderUnavailable(ProviderError):
    """The provider is down, slow or throttling: another attempt may work."""

    code = "provider_unavailable"


class ProviderRejected(ProviderError):
    """The provider refuses this request or this key: another attempt will not work."""

    code = "provider_rejected"


class IncompleteStream(ProviderError):
    """The stream ended before its terminal event; what was received is not the whole answer."""

    code = "incomplete_stream"


class ProviderProtocolError(ProviderError):
    """What came back is not the provider's protocol."""

    code = "provider_protocol_error"
