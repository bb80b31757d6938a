"""Whole answers judged before any of one is released, where the collection's policy or the request asks for that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ragopt.pipeline import ABSTENTION
from ragopt.ports import Cite
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.privacy.redaction import replaced
from ragopt.providers.deployment import Flaw
from ragopt.results import Cited, Prepared
from ragopt.settings.collections import CollectionSettings, Unsupported, collection_settings
from ragopt.stages.cite.schema import bare, mismatch
from ragopt.telemetry import Trace

BEFORE_RELEASE: frozenset[Unsupported] = frozenset({"correct", "escalate", "abstain"})
MAX_NAMED = 8
UNSUPPORTED = """Some statements of your answer are not supported by the passages they cite, or by any passage:
{}
Answer the question once more, under the same rules. Keep what is supported. Mend or leave out these statements; where
nothing is left, reply with the sentence for questions that the passages do not answer."""
NOT_THE_SCHEMA = """Your answer does not match the JSON schema: {}.
Answer once more, with one JSON value that matches the schema and with nothing else."""


@dataclass(frozen=True, slots=True)
class Inspections:
    """Finds what an answer has to pass; satisfies `ragopt.providers.deployment.Inspect`.

    cite: a checker that flags and leaves nothing out. collections: the policies. recognisers: find personal data.
    """

    cite: Cite
    collections: Sequence[CollectionSettings] = ()
    recognisers: Recognisers = OWN

    def __call__(self, prepared: Prepared) -> AnswerInspection | None:
        """Return the inspection of an answer, None where it is released as it comes."""
        question = prepared.question
        found = collection_settings(self.collections, tenant=question.tenant, collection=question.collection)
        if found.unsupported not in BEFORE_RELEASE and not question.answer_schema:
            return None
        redacts = self.recognisers if found.personal_data == "redact" else None
        return AnswerInspection(self.cite, found.unsupported, question.answer_schema, redacts=redacts)


@dataclass(frozen=True, slots=True)
class AnswerInspection:
    """Judges whole answers by a policy, and by a schema where there is one ("" for none).

    redacts: what it says of an answer goes without what these find, but what it tells the model; None: as written.
    """

    cite: Cite
    policy: Unsupported
    schema: str
    redacts: Recognisers | None = None

    @property
    def corrects(self) -> bool:
        """Return whether the model is asked once to mend what is wrong."""
        return self.policy == "correct" or bool(self.schema)

    @property
    def escalates(self) -> bool:
        """Return whether a model of a higher tier is asked next."""
        return self.policy in {"correct", "escalate"} or bool(self.schema)

    @property
    def abstains(self) -> bool:
        """Return whether the answer is the abstention where none passes; else it is the best draft."""
        return self.policy == "abstain"

    async def flaw(self, text: str, prepared: Prepared, *, trace: Trace) -> Flaw | None:
        """Return what is wrong with a whole answer; None if nothing is. The abstention is always right."""
        if text.strip().startswith(ABSTENTION):
            return None
        if self.schema and (wrong := mismatch(bare(text), self.schema)):
            told = mismatch(bare(text), self.schema, quotes=False) if self.redacts else None
            correction = NOT_THE_SCHEMA.format(wrong)
            return Flaw(told or wrong, correction=correction, unsupported=len(text), unusable=True)
        if self.policy not in BEFORE_RELEASE:
            return None
        return await unsupported_flaw(await checked(self.cite, text, prepared, trace=trace), redacts=self.redacts)


async def checked(cite: Cite, text: str, prepared: Prepared, *, trace: Trace) -> Cited:
    """Return a whole text as a checker leaves it."""
    checker = cite(prepared, trace=trace)
    await checker.feed(text)
    return (await checker.finish())[1]


async def unsupported_flaw(cited: Cited, *, redacts: Recognisers | None) -> Flaw | None:
    """Return the flaw of an answer with unsupported claims, which names them; None where there are none.

    redacts: the detail, which the route of the answer tells, goes without what these find; None: as written.
    """
    wrong = [claim for claim in cited.claims if claim.support == "unsupported"]
    if not wrong:
        return None
    named = [cited.text[claim.answer_start : claim.answer_end] for claim in wrong]
    listed = "\n".join(f"- {text}" for text in dict.fromkeys(named[:MAX_NAMED]))
    told = replaced(named[0], await redacts.find_async(named[0])).text if redacts else named[0]
    detail = f"{len(wrong)} of {len(cited.claims)} claims are not supported: {told[:120]!r}"
    return Flaw(detail, correction=UNSUPPORTED.format(listed), unsupported=len(wrong))
