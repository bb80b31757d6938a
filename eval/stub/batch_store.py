"""The batches and uploaded files of one stub."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import UploadFile

from eval.stub import anthropic_batches, openai_batches
from eval.stub.asking import BadRequestError, Json
from eval.stub.batches import Batch, settled
from eval.stub.openai_batches import ENDPOINT, StoredFile
from eval.stub.state import StubState, account_of

LISTED = 20


class NotFoundError(Exception):
    """There is no file or batch of that id."""


@dataclass(slots=True)
class Batches:
    """The batches and files by their ids. deleted: those of both that are there no more."""

    state: StubState
    batches: dict[str, Batch] = field(default_factory=dict)
    files: dict[str, StoredFile] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)

    async def upload(self, request: Request) -> Json:
        """Keep an uploaded file. Raises: `BadRequestError`."""
        async with request.form() as form:
            given, purpose = form.get("file"), form.get("purpose")
            if not isinstance(given, UploadFile) or purpose != "batch":
                raise BadRequestError("file and purpose are required; the stub knows the purpose batch")
            data, name = await given.read(), given.filename or "batch.jsonl"
        if len(data) > self.state.options.batch_limits.openai_bytes:
            raise BadRequestError("file: larger than a batch file may be")
        stored = StoredFile(self._id("file-"), name, "batch", data, self.state.now())
        self.files[stored.id] = stored
        return stored.shown()

    async def create_openai(self, request: Request) -> Json:
        """Start a batch of an uploaded file; what is wrong with the file shows when it is validated."""
        body: object = json.loads(await request.body())
        asked = body if isinstance(body, dict) else {}
        if asked.get("endpoint") != ENDPOINT or asked.get("completion_window") != "24h":
            raise BadRequestError(f"endpoint: {ENDPOINT} and completion_window: 24h are required")
        stored = self.file(str(asked.get("input_file_id")))
        items, errors = openai_batches.items_in(stored.data, limit=self.state.options.batch_limits.openai_requests)
        shown = {"input_file_id": stored.id, "metadata": asked.get("metadata")}
        batch = Batch(
            id=self._id("batch_"),
            dialect=openai_batches.DIALECT,
            account=account_of(request.headers),
            items=items,
            created_at=self.state.now(),
            duration_s=self.state.options.batch_s,
            errors=errors,
            shown=shown,
        )
        self._keep(batch)
        return self.openai(batch.id)

    async def create_anthropic(self, request: Request) -> Json:
        """Start a batch of the requests in the body. Raises: `BadRequestError`."""
        limits = self.state.options.batch_limits
        data = await request.body()
        if len(data) > limits.anthropic_bytes:
            raise BadRequestError("requests: larger than a batch may be", code="request_too_large")
        body: object = json.loads(data)
        items = anthropic_batches.items_in(body if isinstance(body, dict) else {}, limit=limits.anthropic_requests)
        batch = Batch(
            id=self._id("msgbatch_"),
            dialect=anthropic_batches.DIALECT,
            account=account_of(request.headers),
            items=items,
            created_at=self.state.now(),
            duration_s=self.state.options.batch_s,
        )
        self._keep(batch)
        return self.anthropic(batch.id, request)

    def openai(self, batch_id: str) -> Json:
        """Return a batch as OpenAI shows it. Raises: `NotFoundError`."""
        return openai_batches.shown_batch(self._batch(batch_id, "openai"), self.state, self.files)

    def anthropic(self, batch_id: str, request: Request) -> Json:
        """Return a batch as Anthropic shows it. Raises: `NotFoundError`."""
        batch = self._batch(batch_id, "anthropic")
        return anthropic_batches.shown_batch(batch, self.state, base_url=str(request.base_url))

    def list_openai(self) -> Json:
        """Return the latest batches, latest first."""
        return {"object": "list", "data": [self.openai(name) for name in self._latest("openai")], "has_more": False}

    def list_anthropic(self, request: Request) -> Json:
        """Return the latest batches, latest first."""
        return {"data": [self.anthropic(name, request) for name in self._latest("anthropic")], "has_more": False}

    def cancel_openai(self, batch_id: str) -> Json:
        """Stop a batch that is not over; what has finished stays. Raises: `NotFoundError`."""
        self._cancel(self._batch(batch_id, "openai"))
        return self.openai(batch_id)

    def cancel_anthropic(self, batch_id: str, request: Request) -> Json:
        """Stop a batch that is not over; what has finished stays. Raises: `NotFoundError`."""
        self._cancel(self._batch(batch_id, "anthropic"))
        return self.anthropic(batch_id, request)

    def results(self, batch_id: str) -> bytes:
        """Return the lines of a batch's results. Raises: `NotFoundError`; `BadRequestError` while there are none."""
        found = settled(self._batch(batch_id, "anthropic"), self.state)
        if found is None:
            raise BadRequestError("the batch has not ended yet: it has no results")
        return b"".join(anthropic_batches.line_of(result) for result in found)

    def file(self, file_id: str) -> StoredFile:
        """Return a file. Raises: `NotFoundError`."""
        if file_id not in self.files or file_id in self.deleted:
            raise NotFoundError(f"No such File object: {file_id}")
        return self.files[file_id]

    def delete_file(self, file_id: str) -> Json:
        """Delete a file. Raises: `NotFoundError`."""
        self.deleted.add(self.file(file_id).id)
        return {"id": file_id, "object": "file", "deleted": True}

    def delete_anthropic(self, batch_id: str) -> Json:
        """Delete a batch that has ended, with its results. Raises: `NotFoundError`; `BadRequestError` while it runs."""
        if settled(self._batch(batch_id, "anthropic"), self.state) is None:
            raise BadRequestError("the batch has not ended yet: cancel it first")
        self.deleted.add(batch_id)
        return {"id": batch_id, "type": "message_batch_deleted"}

    def _keep(self, batch: Batch) -> None:
        self.batches[batch.id] = batch
        self.state.asked_in_batches += [item.custom_id for item in batch.items]

    def _batch(self, batch_id: str, dialect: str) -> Batch:
        batch = self.batches.get(batch_id)
        if batch is None or batch.dialect.name != dialect or batch_id in self.deleted:
            raise NotFoundError(f"No such batch: {batch_id}")
        return batch

    def _cancel(self, batch: Batch) -> None:
        if settled(batch, self.state) is None and batch.canceled_at is None:
            batch.canceled_at = self.state.now()

    def _latest(self, dialect: str) -> list[str]:
        own = (batch.id for batch in reversed(self.batches.values()) if batch.dialect.name == dialect)
        return [name for name in own if name not in self.deleted][:LISTED]

    def _id(self, prefix: str) -> str:
        return f"{prefix}{next(self.state.numbers)}"
