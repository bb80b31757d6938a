"""Which answers are kept, and without what: personal data is replaced before anything is written."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from functools import partial

from indexes.access import ANYONE
from ragopt.domain import Answer, Question
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.privacy.redaction import redacted
from ragopt.settings.collections import CollectionSettings, collection_settings
from ragopt.state.kept import KeptAnswer, KeptAnswers, KeptPassage, KeptQuote

LOGGER = logging.getLogger("ragopt.exports")
# Answers that wait to be looked through; beyond, an answer is not kept: it is a sample, not a record.
MAX_WAITING = 64


class Keeper:
    """Takes answers after they were given and keeps those of the collections that opted in, in the background."""

    def __init__(
        self,
        store: KeptAnswers,
        collections: Sequence[CollectionSettings],
        recognisers: Recognisers = OWN,
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._collections = collections
        self._recognisers = recognisers
        self._now = now
        self._waiting: dict[str, asyncio.Task[None]] = {}

    @property
    def store(self) -> KeptAnswers:
        """Return where they are kept."""
        return self._store

    def given(self, answer: Answer, question: Question) -> None:
        """Keep an answer if its collection says so and it is worth it; never fails and never waits."""
        policy = collection_settings(self._collections, tenant=question.tenant, collection=question.collection)
        if not policy.keep_answers or not worth_keeping(answer, question) or len(self._waiting) >= MAX_WAITING:
            return
        task = asyncio.create_task(self._keep(answer, question, at=self._now()))
        self._waiting[answer.id] = task
        task.add_done_callback(lambda _: self._waiting.pop(answer.id, None))

    def rated(self, tenant: str, answer_id: str, *, liked: bool) -> None:
        """Note what was said of an answer, behind the answer itself where that is still looked through."""
        waiting = self._waiting.get(answer_id)
        if waiting is None:
            self._store.rated(tenant, answer_id, liked=liked)
        else:
            waiting.add_done_callback(lambda _: self._store.rated(tenant, answer_id, liked=liked))

    async def close(self) -> None:
        """Wait for those that are looked through."""
        await asyncio.gather(*self._waiting.values(), return_exceptions=True)

    async def _keep(self, answer: Answer, question: Question, *, at: float) -> None:
        try:
            kept = await asyncio.to_thread(kept_of, answer, question, self._recognisers, at=at)
        except Exception:  # the answer was given; keeping it is a courtesy
            LOGGER.exception("an answer could not be kept")
            return
        self._store.keep(question.tenant, kept)


def worth_keeping(answer: Answer, question: Question) -> bool:
    """Return whether the answer was made anew, whole, in words, and from passages that everybody may read.

    Whoever is trained on it, or is shown it as an example, answers everybody.
    """
    made = answer.cache.status != "hit" and not answer.partial and not answer.abstained
    return made and bool(answer.context.passages) and not question.answer_schema and question.reader == ANYONE


def kept_of(answer: Answer, question: Question, recognisers: Recognisers = OWN, *, at: float) -> KeptAnswer:
    """Return the answer as it is kept: the question standing alone, everything without personal data.

    A quote in which there was some is left out: it would not be found in its document. A placeholder in one may be of
    the document, or of the answer alone.
    """
    without = partial(redacted_text, recognisers=recognisers)
    texts = [item.text for item in answer.context.passages]
    return KeptAnswer(
        id=answer.id,
        at=at,
        collection=question.collection,
        question=without(answer.context.standalone_question),
        passages=tuple(
            KeptPassage(item.n, item.document_id, item.version, without(item.title), without(item.text))
            for item in answer.context.passages
        ),
        answer=without(answer.text),
        quotes=tuple(
            KeptQuote(document_id, quote)
            for document_id, quote in dict.fromkeys(
                (item.document_id, item.quote) for item in answer.citations if item.support == "supported"
            )
            if quote and without(quote) == quote and any(quote in text for text in texts)
        ),
        provider=answer.route.provider,
        model=answer.route.model,
        tier=answer.route.tier,
        difficulty=answer.route.score,
        supported=bool(answer.claims) and all(claim.support == "supported" for claim in answer.claims),
    )


def redacted_text(text: str, *, recognisers: Recognisers) -> str:
    """Return a text with its personal data replaced."""
    return redacted(text, recognisers).text
