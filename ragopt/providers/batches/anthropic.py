"""Message batches over the official `anthropic` SDK: a list of calls up, a batch to poll, a file of answers down."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, cast

from ragopt.errors import ProviderProtocolError, ProviderTimeout, ProviderUnavailable
from ragopt.providers.anthropic import AnthropicProvider, AnthropicReply, block_for, parameters
from ragopt.providers.batches.protocol import (
    ASK_S,
    DOWNLOAD_S,
    SUBMIT_S,
    BatchCall,
    BatchLine,
    BatchStatus,
    BatchTag,
    Lookup,
    unless_gone,
)
from ragopt.providers.failures import told_failure
from ragopt.providers.protocol import Completed, CompletionRequest
from ragopt.providers.sdk import Call, Head

if TYPE_CHECKING:
    from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
    from anthropic.types.messages import MessageBatch, MessageBatchIndividualResponse
    from anthropic.types.messages.batch_create_params import Request

PAGE = 100
# How far the provider's clock may be from ours.
SKEW_S = 300


class AnthropicBatches:
    """The message batches of Anthropic; uses the connections of its provider.

    A batch there carries no name of ours. One whose submission was not confirmed is told by the ids of its calls,
    which show once it has ended; until then it can only be suspected, by its time and its size.
    """

    name = "anthropic"

    def __init__(self, provider: AnthropicProvider) -> None:
        self._provider = provider

    def size_bytes(self, call: BatchCall) -> int:
        """Return the bytes of the call in the list."""
        return len(json.dumps(row_of(call)).encode()) + 1

    async def submit(self, calls: Sequence[BatchCall], *, tag: str) -> str:  # noqa: ARG002 - nowhere to put it
        """Return the id of the batch of these calls. Raises: `ProviderError`."""
        client = await self._provider.client()
        asked = Call.start(self.name, timeout_s=SUBMIT_S)
        creating = client.messages.batches.create(requests=[row_of(call) for call in calls], timeout=SUBMIT_S)
        return checked(await asked.run(creating)).id

    async def find(self, tag: BatchTag) -> Lookup:
        """Return the batch with these calls; undecided while one of its time and size still runs."""
        client = await self._provider.client()
        asked = Call.start(self.name, timeout_s=SUBMIT_S)
        page = await asked.run(client.messages.batches.list(limit=PAGE, timeout=ASK_S))
        undecided = False
        while True:
            for batch in page.data:
                if not is_like(batch, tag):
                    continue
                if batch.processing_status != "ended":
                    undecided = True
                elif await self._holds(batch.id, tag):
                    return Lookup(batch.id)
            older = any(batch.created_at.timestamp() < tag.since_s - SKEW_S for batch in page.data)
            if older or not page.has_next_page():
                return Lookup(None, undecided)
            page = await asked.run(page.get_next_page())

    async def status(self, batch_id: str) -> BatchStatus:
        """Return how far the batch is; counts are told at its end only."""
        client = await self._provider.client()
        asked = Call.start(self.name, timeout_s=ASK_S)
        batch = checked(await asked.run(client.messages.batches.retrieve(batch_id, timeout=ASK_S)))
        done = counted(batch) - batch.request_counts.processing
        return BatchStatus("ended" if batch.processing_status == "ended" else "running", done)

    async def lines(self, batch_id: str) -> AsyncGenerator[BatchLine, None]:
        """Yield the lines of the results. Raises: `ProviderError`."""
        client = await self._provider.client()
        asked = Call.start(self.name, timeout_s=DOWNLOAD_S)
        rows = await asked.run(client.messages.batches.results(batch_id, timeout=ASK_S))
        try:
            while (row := await asked.run(anext(rows, None), streaming=True)) is not None:
                yield BatchLine(named(row), partial(read_row, row))
        finally:
            await rows.close()

    async def cancel(self, batch_id: str) -> None:
        """Ask for the end of the batch; one that is over already stays as it is."""
        client = await self._provider.client()
        await Call.start(self.name, timeout_s=ASK_S).run(client.messages.batches.cancel(batch_id, timeout=ASK_S))

    async def forget(self, batch_id: str) -> None:
        """Delete an ended batch with its results."""
        client = await self._provider.client()
        asked = Call.start(self.name, timeout_s=ASK_S)
        await unless_gone(asked.run(client.messages.batches.delete(batch_id, timeout=ASK_S)))

    async def _holds(self, batch_id: str, tag: BatchTag) -> bool:
        """Return whether the first line of an ended batch is of one of our calls."""
        async with aclosing(self.lines(batch_id)) as lines:
            first = await anext(lines, None)
        return first is not None and first.custom_id in tag.custom_ids


def is_like(batch: MessageBatch, tag: BatchTag) -> bool:
    """Return whether a batch has as many calls as ours and was made no earlier."""
    return counted(batch) == len(tag.custom_ids) and batch.created_at.timestamp() >= tag.since_s - SKEW_S


def counted(batch: MessageBatch) -> int:
    """Return how many calls a batch has."""
    counts = batch.request_counts
    return counts.processing + counts.succeeded + counts.errored + counts.canceled + counts.expired


def checked(batch: MessageBatch) -> MessageBatch:
    """Return the batch. Raises: `ProviderProtocolError` where something else came back, which the SDK lets pass."""
    if not getattr(batch, "id", None):
        raise ProviderProtocolError("anthropic: something else came back instead of a batch")
    return batch


def row_of(call: BatchCall) -> Request:
    """Return the call as an element of the list."""
    params = cast("MessageCreateParamsNonStreaming", parameters(call.request))
    return {"custom_id": call.custom_id, "params": params}


def named(row: MessageBatchIndividualResponse) -> str:
    """Return whose result this is. Raises: `ProviderProtocolError` if it does not say."""
    name = getattr(row, "custom_id", None)
    if not isinstance(name, str):
        raise ProviderProtocolError("anthropic: a line of another shape in the results")
    return name


def read_row(row: MessageBatchIndividualResponse, request: CompletionRequest) -> tuple[str, Completed]:
    """Return text and terminal event of a line. Raises: `ProviderError`: what the call failed with."""
    result = row.result
    if result.type == "succeeded":
        reply = AnthropicReply(block=block_for(request))
        text = Call("anthropic", 0, 0).read(reply.take_whole, result.message.to_dict())
        return text, reply.completed(request, Head("", None))
    if result.type == "errored":
        raise told_failure(result.error.model_dump(), status=200, provider="anthropic")
    if result.type == "expired":
        raise ProviderTimeout("anthropic: the batch expired before this call was made")
    raise ProviderUnavailable("anthropic: the call was not made: the batch was cancelled")
