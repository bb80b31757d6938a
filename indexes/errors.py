"""Everything `indexes` raises on purpose.

IndexingError
├── DocumentError             this document cannot be stored; others can
│   ├── EmptyText
│   ├── InvalidText
│   ├── DocumentTooLarge
│   ├── AccessDenied          the key that sends it could not read it
│   ├── UnreadableDocument
│   └── UnsupportedFormat
├── CollectionNotFound
├── DocumentNotFound
├── SettingsMismatch          the collection was built by another embedder or other knobs
├── StoreUnavailable          the vector engine does not answer
│   ├── StorageFull           it has no room to write; what is stored can be read
│   └── EmbeddingUnavailable  nor does the endpoint that embeds for it
├── StoreLocked               another process holds the embedded data
└── ModelUnavailable          the embedding model or the cross-encoder cannot be loaded or run
"""

from __future__ import annotations


class IndexingError(Exception):
    """Base of every error of this package; `code` is stable and machine readable."""

    code = "indexing_error"

    @property
    def detail(self) -> str:
        """Return the sentence for a person."""
        return str(self)


class DocumentError(IndexingError):
    """A document that cannot be stored."""

    code = "invalid_document"


class EmptyText(DocumentError):
    """The text holds nothing but white space and invisible characters."""

    code = "empty_text"


class InvalidText(DocumentError):
    """The text is not valid Unicode: bytes that are not UTF-8, or a lone surrogate."""

    code = "invalid_text"


class DocumentTooLarge(DocumentError):
    """The document, or what a file unpacks to, is over its limit."""

    code = "document_too_large"


class AccessDenied(DocumentError):
    """Who sends the document may not read what it would replace, or could not read it afterwards."""

    code = "access_denied"


class UnreadableDocument(DocumentError):
    """The file is not what its type says, is damaged, or its parser ran out of time or memory."""

    code = "unreadable_document"


class UnsupportedFormat(DocumentError):
    """No loader reads this file type."""

    code = "unsupported_format"


class CollectionNotFound(IndexingError):
    """No document was ever ingested into this collection of this tenant."""

    code = "collection_not_found"


class DocumentNotFound(IndexingError):
    """The collection has no live document of this id."""

    code = "document_not_found"


class SettingsMismatch(IndexingError):
    """The collection was built by another embedder or other index knobs; ingest again to change them."""

    code = "index_settings_mismatch"


class StoreUnavailable(IndexingError):
    """The vector engine did not answer, or not in time."""

    code = "retrieval_unavailable"


class StorageFull(StoreUnavailable):
    """The disk of the embedded index is full: nothing more is written, and everything can be read."""

    code = "insufficient_storage"


class EmbeddingUnavailable(StoreUnavailable):
    """The served embedding model did not answer in time, or not what such a model answers."""

    code = "embedding_unavailable"


class StoreLocked(IndexingError):
    """Another process holds the embedded data; the engines belong to one process."""

    code = "data_dir_locked"


class ModelUnavailable(IndexingError):
    """A model is missing, damaged or not what its checksum says."""

    code = "model_unavailable"
