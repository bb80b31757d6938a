"""Paths to documents: folders are walked, files loaded, what cannot be read is a failed result.

A `.jsonl` file that is named, or the corpus of an evaluation set in a folder, is one document a line.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from indexes.access import Access
from indexes.errors import DocumentError
from indexes.loading import SUPPORTED_SUFFIXES, load_file
from indexes.records import Document, IngestFailure, IngestResult
from ragopt.cli.jsonlines import corpus_of, count_documents, holds_documents, read_documents
from ragopt.errors import InvalidRequest

BATCH_BYTES = 8 * 1024 * 1024
BATCH_DOCUMENTS = 256


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file to ingest and the document id it gets: its path from the argument's own folder on, with `/`."""

    path: Path
    document_id: str


@dataclass(frozen=True, slots=True)
class Found:
    """What lies under the arguments: files in order of their ids, the documents in them, and how many were skipped.

    access: the list of every document that does not say its own.
    """

    files: tuple[FoundFile, ...]
    documents: int
    skipped: int
    access: Access = None


@dataclass(frozen=True, slots=True)
class Batch:
    """Documents to send together, and the results of files that could not be read."""

    documents: tuple[Document, ...]
    failures: tuple[IngestResult, ...]


def found_files(paths: Sequence[Path]) -> Found:
    """Return the files under `paths`; hidden ones and types that nothing reads are skipped.

    Raises: `InvalidRequest` for a path that is not there, and for two files with the same id.
    """
    files: dict[str, Path] = {}
    skipped = 0
    for path in paths:
        if not path.exists():
            raise InvalidRequest(f"no such file or folder: {path}")
        for file, document_id in walked(path):
            if file.suffix.lower() not in SUPPORTED_SUFFIXES and not (is_named(file, path) and holds_documents(file)):
                skipped += 1
            elif files.setdefault(document_id, file).resolve() != file.resolve():
                raise InvalidRequest(f"{files[document_id]} and {file} would both be the document {document_id}")
    found = tuple(FoundFile(files[name], name) for name in sorted(files))
    documents = sum(count_documents(file.path) if holds_documents(file.path) else 1 for file in found)
    return Found(found, documents, skipped)


def is_named(file: Path, argument: Path) -> bool:
    """Return whether the user meant this very file: by its path, or as the corpus of an evaluation set."""
    return file == argument or corpus_of(file.parent) == file


def walked(path: Path) -> Iterator[tuple[Path, str]]:
    """Yield every file under a path with its document id; a file itself, named by its name."""
    if not path.is_dir():
        yield path, path.name
        return
    above = path.resolve().parent
    for folder, folders, names in os.walk(path.resolve()):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            file = Path(folder) / name
            if not name.startswith(".") and file.is_file():
                yield file, file.relative_to(above).as_posix()


def batches(found: Found, *, max_document_bytes: int) -> Iterator[Batch]:
    """Yield the files as documents, in order, about 8 MB at a time. Blocks while it reads."""
    documents: list[Document] = []
    failures: list[IngestResult] = []
    held_bytes = 0
    for loaded in loaded_documents(found.files, max_bytes=max_document_bytes):
        if isinstance(loaded, IngestResult):
            failures.append(loaded)
            continue
        documents.append(loaded if loaded.access is not None else replace(loaded, access=found.access))
        held_bytes += len(loaded.text.encode())
        if held_bytes >= BATCH_BYTES or len(documents) >= BATCH_DOCUMENTS:
            yield Batch(tuple(documents), tuple(failures))
            documents, failures, held_bytes = [], [], 0
    if documents or failures:
        yield Batch(tuple(documents), tuple(failures))


def loaded_documents(files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Document | IngestResult]:
    """Yield each file's documents, or a failed result in place of one that cannot be read."""
    for file in files:
        if holds_documents(file.path):
            yield from read_documents(file.path)
        else:
            yield document_or_failure(file, max_bytes=max_bytes)


def document_or_failure(file: FoundFile, *, max_bytes: int) -> Document | IngestResult:
    """Return the document of a file, or the failed result of one that cannot be read."""
    try:
        loaded = load_file(file.path.name, file.path.read_bytes(), max_bytes=max_bytes)
        return Document(id=file.document_id, text=loaded.text, title=loaded.title)
    except DocumentError as error:
        failure = IngestFailure(error.code, error.detail)
    except OSError as error:
        failure = IngestFailure("unreadable_document", error.strerror or str(error))
    return IngestResult(file.document_id, None, "failed", 0, 0, failure)
