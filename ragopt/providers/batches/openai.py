"""Batches over the official `openai` SDK: a file of calls up, a batch to poll, files of answers down."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Final

from ragopt.errors import IncompleteStream, ProviderError, ProviderProtocolError, ProviderTimeout, ProviderUnavailable
from ragopt.providers.batches.protocol import (
    ASK_S,
    DOWNLOAD_S,
    SUBMIT_S,
    BatchCall,
    BatchLine,
    BatchPhase,
    BatchStatus,
    BatchTag,
    Lookup,
    unless_gone,
)
from ragopt.providers.failures import told_failure
from ragopt.providers.openai import OpenAIProvider, OpenAIReply, parameters
from ragopt.providers.protocol import Completed, CompletionRequest
from ragopt.providers.sdk import Call, Head

if TYPE_CHECKING:
    from openai.types import Batch

ENDPOINT: Final = "/v1/chat/completions"
TAG = "ragopt_batch"
PAGE = 100
# How far the provider's clock may be behind ours.
SKEW_S = 3_600
PHASES: dict[str, BatchPhase] = {
    **dict.fromkeys(("completed", "expired", "cancelled"), "ended"),
    "failed": "failed",
}


class OpenAIBatches:
    """The batch API of OpenAI, and of servers that have the same one; uses the connections of its provider."""

    name = "openai"

    def __init__(self, provider: OpenAIProvider) -> None:
        self._provider = provider

    def size_bytes(self, call: BatchCall) -> int:
        """Return the bytes of the call's line."""
        return len(line_of(call))

    async def submit(self, calls: Sequence[BatchCall], *, tag: str) -> str:
        """Upload the calls and return the id of their batch, which carries the tag. Raises: `ProviderError`."""
        client = await self._provider.client()
        data = await asyncio.to_thread(lambda: b"".join(map(line_of, calls)))
        asked = Call.start(self.name, timeout_s=SUBMIT_S)
        uploaded = await asked.run(client.files.create(file=(f"{tag}.jsonl", data), purpose="batch", timeout=SUBMIT_S))
        batch = await asked.run(
            client.batches.create(
                input_file_id=uploaded.id,
                endpoint=ENDPOINT,
                completion_window="24h",
                metadata={TAG: tag},
                timeout=ASK_S,
            )
        )
        return checked(batch).id

    async def find(self, tag: BatchTag) -> Lookup:
        """Return the batch that carries the tag; the list is read back to the time it was submitted at."""
        client = await self._provider.client()
        asked = Call.start(self.name, timeout_s=SUBMIT_S)
        page = await asked.run(client.batches.list(limit=PAGE, timeout=ASK_S))
        while True:
            for batch in page.data:
                if (batch.metadata or {}).get(TAG) == tag.name:
                    return Lookup(batch.id)
            older = min((batch.created_at for batch in page.data), default=0.0) < tag.since_s - SKEW_S
            if older or not page.has_next_page():
                return Lookup(None)
            page = await asked.run(page.get_next_page())

    async def status(self, batch_id: str) -> BatchStatus:
        """Return how far the batch is."""
        batch = await self._batch(batch_id, Call.start(self.name, timeout_s=ASK_S))
        counts = batch.request_counts
        done = counts.completed + counts.failed if counts else 0
        problems = (batch.errors.data or []) if batch.errors else []
        detail = "; ".join(problem.message or problem.code or "" for problem in problems[:3])
        return BatchStatus(PHASES.get(batch.status, "running"), done, detail)

    async def lines(self, batch_id: str) -> AsyncGenerator[BatchLine, None]:
        """Yield the lines of the output file, then of the error file. Raises: `ProviderError`."""
        asked = Call.start(self.name, timeout_s=DOWNLOAD_S)
        batch = await self._batch(batch_id, asked)
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id)):
            async with aclosing(self._lines(file_id, asked)) as lines:
                async for line in lines:
                    yield answer_of(line)

    async def cancel(self, batch_id: str) -> None:
        """Ask for the end of the batch; one that is over already stays as it is."""
        client = await self._provider.client()
        await Call.start(self.name, timeout_s=ASK_S).run(client.batches.cancel(batch_id, timeout=ASK_S))

    async def forget(self, batch_id: str) -> None:
        """Delete the files of an ended batch; the batch itself, its counts and its tag, cannot be deleted."""
        client = await self._provider.client()
        asked = Call.start(self.name, timeout_s=SUBMIT_S)
        batch = await self._batch(batch_id, asked)
        for file_id in filter(None, (batch.output_file_id, batch.error_file_id, batch.input_file_id)):
            await unless_gone(asked.run(client.files.delete(file_id, timeout=ASK_S)))

    async def _batch(self, batch_id: str, asked: Call) -> Batch:
        client = await self._provider.client()
        return checked(await asked.run(client.batches.retrieve(batch_id, timeout=ASK_S)))

    async def _lines(self, file_id: str, asked: Call) -> AsyncGenerator[str, None]:
        client = await self._provider.client()
        opening = client.files.with_streaming_response.content(file_id, timeout=ASK_S)
        response = await asked.run(opening.__aenter__())
        lines = response.iter_lines()
        try:
            while (line := await asked.run(anext(lines, None), streaming=True)) is not None:
                if line.strip():
                    yield line
        finally:
            await opening.__aexit__(None, None, None)


def checked(batch: Batch) -> Batch:
    """Return the batch. Raises: `ProviderProtocolError` where something else came back, which the SDK lets pass."""
    if not getattr(batch, "id", None):
        raise ProviderProtocolError("openai: something else came back instead of a batch")
    return batch


def line_of(call: BatchCall) -> bytes:
    """Return the call as a line of the file."""
    row = {"custom_id": call.custom_id, "method": "POST", "url": ENDPOINT, "body": parameters(call.request)}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def answer_of(line: str) -> BatchLine:
    """Return what came of one call. Raises: `IncompleteStream` for half a line, `ProviderProtocolError` for no line."""
    try:
        row = json.loads(line)
        custom_id = row["custom_id"]
    except ValueError as error:
        raise IncompleteStream("openai: a file of answers was cut off") from error
    except (KeyError, TypeError) as error:
        raise ProviderProtocolError("openai: a line of another shape in a file of answers") from error
    return BatchLine(str(custom_id), partial(read_row, row))


def read_row(row: dict[str, object], request: CompletionRequest) -> tuple[str, Completed]:
    """Return text and terminal event of a line. Raises: `ProviderError`: what the call failed with."""
    response = row.get("response")
    if not isinstance(response, dict):
        raise not_asked(row.get("error"))
    body, request_id = response.get("body"), str(response.get("request_id") or "")
    if response.get("status_code") != 200 or not isinstance(body, dict):
        status = response.get("status_code")
        raise told_failure(body, status=status if isinstance(status, int) else 200, provider="openai")
    reply = OpenAIReply()
    text = Call("openai", 0, 0).read(reply.take_whole, body)
    return text, reply.completed(request, Head(request_id, None))


def not_asked(error: object) -> ProviderError:
    """Return the failure of a call that was never made: its batch expired or was cancelled."""
    told = error if isinstance(error, dict) else {}
    if told.get("code") == "batch_expired":
        return ProviderTimeout("openai: the batch expired before this call was made")
    return ProviderUnavailable(f"openai: the call was not made: {told.get('code') or 'no reason was given'}")
