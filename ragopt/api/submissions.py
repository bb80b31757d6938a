"""The body of POST /ingest, JSON or multipart, as documents; a file that cannot be read fails alone."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from anyio import CapacityLimiter, to_thread
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData, UploadFile

from indexes.access import Access
from indexes.errors import DocumentError
from indexes.loading import content_id, load_file
from indexes.records import Document, IngestFailure, IngestResult
from ragopt.api.document_schemas import MAX_DOCUMENTS, DocumentIn, IngestRequest
from ragopt.api.fields import MAX_ID_CHARS, CollectionName, Name
from ragopt.api.problems import not_json
from ragopt.errors import InvalidRequest
from ragopt.fetching.fetcher import UrlFetcher
from ragopt.principals import reader_of, separated

Item: TypeAlias = Document | IngestResult

FORM_FIELDS = ("collection", "wait", "access")
BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
NAME: TypeAdapter[str] = TypeAdapter(Name)
COLLECTION_NAME: TypeAdapter[str] = TypeAdapter(CollectionName)


@dataclass(frozen=True, slots=True)
class Submission:
    """What one request hands in, in its order: documents, and results of files that cannot be read.

    digest: equal for two requests that ask for the same thing.
    """

    items: tuple[Item, ...]
    collection: str
    wait: bool
    digest: str

    @property
    def restricted(self) -> bool:
        """Return whether a document has a list: what becomes of it is not everybody's to know."""
        return any(document.access is not None for document in self.documents())

    def documents(self) -> list[Document]:
        """Return what can be stored, in order."""
        return [item for item in self.items if isinstance(item, Document)]

    def merged(self, results: Sequence[IngestResult]) -> list[IngestResult]:
        """Return one result per item in the request's order, given those of `documents()`."""
        stored = iter(results)
        return [next(stored) if isinstance(item, Document) else item for item in self.items]


async def read_submission(
    request: Request, *, max_document_bytes: int, parsers: CapacityLimiter, fetch: UrlFetcher
) -> Submission:
    """Return what the request hands in; files are parsed `parsers` at a time, and what a URL names is fetched.

    Raises: `RequestValidationError`, `InvalidRequest`, `HTTPException`.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=MAX_DOCUMENTS, max_fields=len(FORM_FIELDS)) as form:
            submission = await from_form(form, max_document_bytes=max_document_bytes, parsers=parsers)
    else:
        body = await request.body()
        given = await asyncio.to_thread(ingest_request, body)
        read = partial(document_or_failure, max_bytes=max_document_bytes)
        items = await items_of(given.documents, fetch=fetch, read=read, parsers=parsers)
        submission = Submission(items, given.collection, given.wait, hashlib.sha256(body).hexdigest())
    refuse_twins(submission.items)
    return submission


def ingest_request(body: bytes) -> IngestRequest:
    """Return what a JSON body hands in. Raises: `RequestValidationError`, `HTTPException` 400."""
    try:
        return IngestRequest.model_validate(parsed_json(body))
    except ValidationError as error:
        raise RequestValidationError([{**item, "loc": ("body", *item["loc"])} for item in error.errors()]) from error


async def items_of(
    given: Sequence[DocumentIn], *, fetch: UrlFetcher, read: Callable[[str, bytes], Item], parsers: CapacityLimiter
) -> tuple[Item, ...]:
    """Return the documents in order; what a URL does not give is a failed result. Raises: `UrlsOff`, `UrlRefused`."""
    by_url = [item for item in given if item.url is not None]
    if by_url:
        fetch.refuse_unless_on(len(by_url))
    fetched = await asyncio.gather(*(fetched_item(item, fetch=fetch, read=read, parsers=parsers) for item in by_url))
    return await asyncio.to_thread(in_their_places, given, fetched)


def in_their_places(given: Sequence[DocumentIn], fetched: Sequence[Item]) -> tuple[Item, ...]:
    """Return the documents that came with a text, and in the places of the others what was fetched, in order."""
    rest = iter(fetched)
    return tuple(next(rest) if item.text is None else document_of(item, item.text) for item in given)


async def fetched_item(
    item: DocumentIn, *, fetch: UrlFetcher, read: Callable[[str, bytes], Item], parsers: CapacityLimiter
) -> Item:
    """Return the document behind a URL, or its failed result."""
    url = item.url or ""
    name = item.id or (url if len(url) <= MAX_ID_CHARS else content_id(url))
    try:
        file = await fetch(url)
    except InvalidRequest as error:
        return IngestResult(name, None, "failed", 0, 0, IngestFailure(error.code, error.detail))
    found = await to_thread.run_sync(read, file.name, file.data, limiter=parsers)
    if not isinstance(found, Document):
        return replace(found, id=name)
    sent = item.model_copy(update={"id": name, "title": item.title or found.title})
    return replace(document_of(sent, found.text), provenance={"url": file.url})


def parsed_json(body: bytes) -> object:
    """Return the value of a JSON text in UTF-8. Raises: `HTTPException` 400."""
    try:
        return json.loads(body.decode())
    except json.JSONDecodeError as error:
        raise not_json(f"{error.msg} at character {error.pos}") from error
    except (ValueError, RecursionError) as error:
        raise not_json("the body is not JSON in UTF-8, or nests too deep") from error


def document_of(given: DocumentIn, text: str) -> Document:
    """Return the document of this text; without an id, one is derived from it."""
    return Document(
        id=given.id if given.id is not None else content_id(text),
        text=text,
        title=given.title,
        metadata=given.metadata,
        access=None if given.access is None else tuple(given.access),
        provenance={} if given.trust is None else {"trust": given.trust},
    )


async def from_form(form: FormData, *, max_document_bytes: int, parsers: CapacityLimiter) -> Submission:
    """Return what a form hands in: its files, whatever their fields are called. Raises: `InvalidRequest`."""
    collection, wait, access = form_settings(form)
    digest = hashlib.sha256(f"{collection}\0{wait}\0{access}".encode())
    items = []
    for field, upload in form.multi_items():
        if not isinstance(upload, UploadFile):
            continue
        data = await upload.read()
        digest.update(f"\0{field}\0{upload.filename}\0{hashlib.sha256(data).hexdigest()}".encode("utf-8", "replace"))
        parse = partial(document_or_failure, upload.filename or "", data, max_bytes=max_document_bytes)
        item = await to_thread.run_sync(parse, limiter=parsers)
        items.append(replace(item, access=access) if isinstance(item, Document) else item)
    if not items:
        raise InvalidRequest("The form holds no file.")
    return Submission(tuple(items), collection, wait, digest.hexdigest())


def form_settings(form: FormData) -> tuple[str, bool, Access]:
    """Return the form's `collection`, `wait` and `access`.

    Raises: `InvalidRequest` for another field or a wrong value.
    """
    fields = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    unknown = sorted(set(fields) - set(FORM_FIELDS))
    if unknown:
        raise InvalidRequest(f"A form takes files and the fields {', '.join(FORM_FIELDS)}, nothing else.")
    wait = fields.get("wait", "true").strip().lower()
    if wait not in BOOLEANS:
        raise InvalidRequest("The form field wait is true or false.")
    listed = fields.get("access")
    access = None if listed is None else reader_of(separated(listed, field="access"), field="access").principals
    try:
        return COLLECTION_NAME.validate_python(fields.get("collection", "default")), BOOLEANS[wait], access
    except ValidationError as error:
        raise InvalidRequest(f"The form field collection: {error.errors()[0]['msg']}.") from error


def document_or_failure(filename: str, data: bytes, *, max_bytes: int) -> Item:
    """Return the document of a file, named as the file, or the failed result of one that cannot be read."""
    try:
        loaded = load_file(filename, data, max_bytes=max_bytes)
        name = NAME.validate_python(filename) if filename else content_id(loaded.text)
        return Document(id=name, text=loaded.text, title=loaded.title)
    except ValidationError as error:
        failure = IngestFailure(DocumentError.code, f"file name: {error.errors()[0]['msg']}")
    except DocumentError as error:
        failure = IngestFailure(error.code, error.detail)
    return IngestResult(filename, None, "failed", 0, 0, failure)


def refuse_twins(items: Sequence[Item]) -> None:
    """Raise `InvalidRequest` if two items share an id: which one should win is not ours to guess."""
    seen: set[str] = set()
    for item in items:
        if item.id in seen:
            raise InvalidRequest(f"The document id {item.id!r} appears twice in one request.")
        seen.add(item.id)
