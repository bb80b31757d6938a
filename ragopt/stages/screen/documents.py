"""Documents before they are stored: personal data replaced or counted, as the policy of their collection says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from anyio import CapacityLimiter, to_thread

from indexes.records import Document, Scalar
from ragopt.privacy.recognisers import Kind
from ragopt.privacy.redaction import Redacted, redacted
from ragopt.settings.collections import CollectionSettings, collection_settings

# Screens at once, in threads of their own: a large ingest holds up no question.
THREADS = 1
# In the provenance of a document that went through, so that no text is screened twice.
SCREENED = "screened"


class DocumentScreen:
    """Returns documents as they are to be stored; what was found is in their provenance."""

    def __init__(self, collections: Sequence[CollectionSettings]) -> None:
        self._collections = collections
        self._threads = CapacityLimiter(THREADS)

    async def __call__(self, tenant: str, collection: str, documents: Sequence[Document]) -> list[Document]:
        """Return the documents, screened unless they were before, in order."""
        policy = collection_settings(self._collections, tenant=tenant, collection=collection)
        if policy.personal_data == "off":
            return list(documents)
        return await to_thread.run_sync(lambda: [screened(item, policy) for item in documents], limiter=self._threads)


def screened(document: Document, policy: CollectionSettings) -> Document:
    """Return a document as the policy has it stored; the same one if it was screened before."""
    if SCREENED in document.provenance:
        return document
    title, text = redacted(document.title), redacted(document.text)
    values = {key: redacted(value) for key, value in document.metadata.items() if isinstance(value, str)}
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
