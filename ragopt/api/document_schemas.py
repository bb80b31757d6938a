"""The wire format of documents and ingests, exactly as the contract says."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from ragopt.api.fields import CollectionName, FiniteFloat, Name, Principal, Text, Url
from ragopt.api.schemas import Wire
from ragopt.principals import MAX_PRINCIPALS

MAX_DOCUMENTS = 10_000


class DocumentIn(Wire):
    """One document to ingest: its text, or the URL it is fetched from. Without an id, one is derived from these."""

    id: Name | None = None
    # Left as it is: a text that is not Unicode fails this document alone, and the others go on.
    text: str | None = None
    url: Annotated[Url | None, Field(description="fetched in place of a text, where the operator allows it")] = None
    title: Annotated[Text, StringConstraints(max_length=2_000)] = ""
    metadata: dict[Name, Text | int | FiniteFloat | bool] = Field(default_factory=dict, max_length=100)
    access: list[Principal] | None = Field(
        default=None,
        max_length=MAX_PRINCIPALS,
        description="who may read it, such as `group:hr`; left out: every key of the tenant; []: keys that read all",
    )
    # Where the collection is trusted, a document may still be from somewhere else; the other way it has no effect.
    trust: Literal["trusted", "untrusted"] | None = None

    @model_validator(mode="after")
    def text_or_url(self) -> DocumentIn:
        """Return the document if it has exactly one of the two."""
        if (self.text is None) == (self.url is None):
            raise PydanticCustomError("text_or_url", "Send either text or url")
        return self


class IngestRequest(Wire):
    """Documents for one collection; all are stored by the time of the answer unless `wait` is false."""

    documents: list[DocumentIn] = Field(min_length=1, max_length=MAX_DOCUMENTS)
    collection: CollectionName = "default"
    wait: bool = True


class DocumentError(Wire):
    """Why one document was not stored."""

    code: str
    detail: str


class DocumentResult(Wire):
    """What became of one document."""

    id: str
    version: int | None
    status: Literal["created", "updated", "unchanged", "failed"]
    chunks: int
    tokens: int
    error: DocumentError | None


class IngestResponse(Wire):
    """What became of an ingest; while it runs, `chunks_done` of `chunks_total` are embedded."""

    job_id: str
    status: Literal["queued", "running", "done", "failed"]
    documents: list[DocumentResult]
    error: str | None = None
    chunks_done: int | None = None
    chunks_total: int | None = None


class DocumentListed(Wire):
    """The live version of a document, without its text."""

    id: str
    version: int
    title: str
    metadata: dict[str, str | int | float | bool]
    chunks: int
    tokens: int
    quarantined: bool
    provenance: dict[str, str | int | float | bool]
    access: Annotated[list[str] | None, Field(description="its list, as far as the key may see it; null for everybody")]


class DocumentList(Wire):
    """The live documents of a collection, ordered by id."""

    collection: str
    documents: list[DocumentListed]


class ChunkOut(Wire):
    """Where a chunk lies in its document's text."""

    chunk_id: str
    start: int
    end: int


class DocumentOut(Wire):
    """A document as it is stored."""

    id: str
    version: int
    title: str
    text: str
    metadata: dict[str, str | int | float | bool]
    quarantined: bool
    provenance: dict[str, str | int | float | bool]
    access: Annotated[list[str] | None, Field(description="its list, as far as the key may see it; null for everybody")]
    chunks: list[ChunkOut]
