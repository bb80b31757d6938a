"""The cache of a pipeline without Redis, or whose cache is turned off."""

from __future__ import annotations

from collections.abc import Awaitable

from indexes.records import EncodedQuestion
from ragopt.domain import Answer, Context, Question
from ragopt.results import Kept, Looked, Prepared
from ragopt.telemetry import Trace


class NoCache:
    """Has nothing and keeps nothing; satisfies `ragopt.ports.AnswerCache`."""

    def entry(self, question: Question, standalone: str) -> str:  # noqa: ARG002
        """Return "": no two questions share an answer."""
        return ""

    async def look(
        self,
        question: Question,  # noqa: ARG002
        standalone: str,  # noqa: ARG002
        *,
        encoding: Awaitable[EncodedQuestion],  # noqa: ARG002
        trace: Trace,  # noqa: ARG002
    ) -> Looked:
        """Return nothing."""
        return Looked()

    async def confirmed(
        self,
        doubtful: Kept,  # noqa: ARG002
        context: Context,  # noqa: ARG002
        *,
        question: Question,  # noqa: ARG002
        trace: Trace,  # noqa: ARG002
    ) -> Answer | None:
        """Return None."""
        return None

    async def put(self, prepared: Prepared, answer: Answer) -> None:
        """Keep nothing."""

    async def clear(self, tenant: str, collection: str | None = None) -> int:  # noqa: ARG002
        """Return 0: there is nothing to forget."""
        return 0

    async def learned(self, tenant: str, collection: str) -> None:
        """Return None: other words are never served."""

    async def disliked(self, tenant: str, collection: str, entry: str, *, score: float | None) -> None:
        """Forget nothing."""
