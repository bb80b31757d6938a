"""Documents before they are stored: personal data and injected instructions, as the policy of their collection says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from anyio import CapacityLimiter, to_thread

from indexes.records import Document, Scalar
from ragopt.injection.detector import Finding, InjectionDetector
from ragopt.privacy.recognisers import Kind
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.privacy.redaction import Redacted, redacted
from ragopt.screening.heads import THRESHOLD
from ragopt.settings.collections import CollectionSettings, Trust, collection_settings

# Screens at once, in threads of their own: a large ingest holds up no question.
THREADS = 1
# Documents whose suspicious pieces are embedded together: a few of one document fill no batch.
AT_ONCE = 32
# A text of more characters has more bytes than any document may.
MOST_CHARS = 20_000_000
# In the provenance of a document that went through, so that no text is screened twice.
SCREENED, SCORED = "screened", "injection"


class DocumentScreen:
    """Returns documents as they are to be stored; what was found is in their provenance.

    detector: None where no document is scored. most_chars: longer texts are not looked at: the library refuses them.
    recognisers: find personal data.
    """

    def __init__(
        self,
        collections: Sequence[CollectionSettings],
        detector: InjectionDetector | None = None,
        *,
        most_chars: int = MOST_CHARS,
        recognisers: Recognisers = OWN,
    ) -> None:
        self._collections = collections
        self._detector = detector
        self._most_chars = most_chars
        self._recognisers = recognisers
        self._threads = CapacityLimiter(THREADS)

    async def __call__(self, tenant: str, collection: str, documents: Sequence[Document]) -> list[Document]:
        """Return the documents, screened unless they were before, in order."""
        policy = collection_settings(self._collections, tenant=tenant, collection=collection)
        found: list[Document] = []
        for start in range(0, len(documents), AT_ONCE):
            found += await self._screened(documents[start : start + AT_ONCE], policy)
        return found

    async def _screened(self, documents: Sequence[Document], policy: CollectionSettings) -> list[Document]:
        looked_at = [at for at, item in enumerate(documents) if len(item.text) <= self._most_chars]
        found = dict(enumerate(documents))
        if policy.personal_data != "off":
            for at in looked_at:
                found[at] = await to_thread.run_sync(
                    screened, found[at], policy, self._recognisers, limiter=self._threads
                )
        if self._detector is not None and policy.injection != "off":
            places = [at for at in looked_at if SCORED not in found[at].provenance]
            parts = [part for at in places for part in (found[at].title, found[at].text)]
            findings = iter(await self._detector.documents(parts) if parts else ())
            for at in places:
                found[at] = scored(found[at], policy, title=next(findings), text=next(findings))
        return list(found.values())


def scored(document: Document, policy: CollectionSettings, *, title: Finding, text: Finding) -> Document:
    """Return a document with its score and trust, held back where the policy says so."""
    trust = trust_of(document, policy)
    noted = {**found_in(title, text), "trust": trust}
    high = max(title.score, text.score) >= THRESHOLD
    held = policy.injection == "quarantine" and trust == "untrusted" and high
    return replace(
        document,
        provenance={**document.provenance, **noted},
        quarantined=document.quarantined or held,
    )


def trust_of(document: Document, policy: CollectionSettings) -> Trust:
    """Return whether a document is trusted: where its collection is, and who sent it said nothing else."""
    return "trusted" if policy.trust == "trusted" and document.provenance.get("trust") != "untrusted" else "untrusted"


def found_in(title: Finding, text: Finding) -> dict[str, Scalar]:
    """Return the score as provenance has it, and where in the text it stands if it is high."""
    score: dict[str, Scalar] = {SCORED: round(max(title.score, text.score), 4)}
    if text.score < THRESHOLD:
        return score
    return {**score, "injection_start": text.span[0], "injection_end": text.span[1]}


def screened(document: Document, policy: CollectionSettings, recognisers: Recognisers) -> Document:
    """Return a document as the policy has its personal data stored; the same one if it was screened before."""
    if SCREENED in document.provenance:
        return document
    title, text = redacted(document.title, recognisers), redacted(document.text, recognisers)
    values = {key: redacted(value, recognisers) for key, value in document.metadata.items() if isinstance(value, str)}
    found = {"personal_data": summary([title, text, *values.values()]), SCREENED: True}
    noted = replace(document, provenance={**document.provenance, **found})
    if policy.personal_data == "flag":
        return noted
    metadata = {**document.metadata, **{key: value.text for key, value in values.items()}}
    return replace(noted, title=title.text, text=text.text, metadata=metadata)


def summary(parts: Sequence[Redacted]) -> Scalar:
    """Return how much of each kind was found, as `card=1 email=2`; "" for nothing."""
    totals: Counter[Kind] = Counter()
    for part in parts:
        totals.update(part.counts)
    return " ".join(f"{kind}={count}" for kind, count in sorted(totals.items()))
