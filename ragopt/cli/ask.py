"""`ragopt ask`: one answer in the terminal, streamed, then the words of the documents that carry it."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing, nullcontext
from dataclasses import replace
from typing import cast

from indexes.access import EVERYTHING
from ragopt.api.rendering import answer_json
from ragopt.audit.events import LOCAL
from ragopt.audit.events import answered as told
from ragopt.cli.arguments import add_collection, add_filter, add_json, add_place, filter_of
from ragopt.cli.remote import Remote, service_at, service_of
from ragopt.cli.terminal import say, say_json, stream
from ragopt.config import Settings, load_settings
from ragopt.domain import Question
from ragopt.errors import InvalidRequest, RagoptError
from ragopt.events import Finished, TextReleased
from ragopt.money.ledger import row_of
from ragopt.pipeline import answer_id
from ragopt.settings.collections import told_of
from ragopt.state.data_dir import DataDirLock
from ragopt.state.key_records import DEFAULT_TENANT
from ragopt.telemetry import Trace
from ragopt.wiring import Service, open_service

EXAMPLE = 'ragopt ask "How many vacation days do we have?" --filter team=hr'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("question")
    add_collection(parser, purpose="where to look")
    add_filter(parser)
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one answer, through the running service or in this process."""
    if not arguments.question.strip():
        raise InvalidRequest("the question is empty")
    settings = load_settings(data_dir=arguments.data_dir)
    remote = service_at(arguments.url, settings) if arguments.url else service_of(settings)
    told = told_of(settings.collections, tenant=DEFAULT_TENANT, collection=arguments.collection)
    asked = Question(
        arguments.question,
        DEFAULT_TENANT,
        arguments.collection,
        knobs=settings.knobs_of(tenant=DEFAULT_TENANT, collection=arguments.collection),
        filter=filter_of(arguments.filter),
        answer_id=answer_id(),
        key_id=LOCAL,
        streamed=not arguments.json,
        instructions=told.instructions,
        examples=told.examples,
    )
    if remote is not None:
        whole = answer_remotely(remote, asked, quiet=arguments.json)
    else:
        whole = asyncio.run(answer_here(settings, asked, quiet=arguments.json))
    if arguments.json:
        say_json(whole)
    else:
        say()
        say_citations(cast("Sequence[Mapping[str, object]]", whole["citations"]))
    return 0


def answer_remotely(remote: Remote, asked: Question, *, quiet: bool) -> Mapping[str, object]:
    """Return the whole answer of a service, printed as it comes unless `quiet`. Raises: `RagoptError`."""
    for name, data in remote.answer(asked.text, collection=asked.collection, matching=asked.filter):
        if name == "delta" and not quiet:
            stream(str(data["text"]))
        elif name == "error":
            raise RagoptError(f"{data['code']}: {data['detail']}")
        elif name == "done":
            return data
    raise RagoptError(f"{remote.url} ended the answer before its end")


async def answer_here(settings: Settings, asked: Question, *, quiet: bool) -> Mapping[str, object]:
    """Return the whole answer of this process, which holds the data dir meanwhile; printed unless `quiet`."""
    with nullcontext() if settings.qdrant_url else DataDirLock(settings.data_dir):
        async with open_service(settings) as service:
            return await answered(service, asked, quiet=quiet)


async def answered(service: Service, asked: Question, *, quiet: bool) -> Mapping[str, object]:
    """Return the whole answer, printed as it comes unless `quiet`. Raises: `RagoptError`, `IndexingError`."""
    # Whoever may run commands on the data dir may read all of it.
    reader = await service.library.told_apart(asked.tenant, asked.collection, EVERYTHING)
    asked, trace = replace(asked, reader=reader), Trace("ask")
    async with aclosing(service.pipeline.answer(asked, trace=trace)) as events:
        async for event in events:
            if isinstance(event, TextReleased) and not quiet:
                stream(event.text)
            elif isinstance(event, Finished):
                took_ms = trace.timings_ms()["total"]
                service.accounts.ledger.answered(row_of(event.answer, asked, at=time.time(), latency_ms=took_ms))
                service.audit.record(told(event.answer, asked, fallbacks=sorted(trace.fallbacks)))
                return answer_json(event.answer, conversation_id=None, trace=trace)
    raise RagoptError("the pipeline ended without an answer")


def say_citations(citations: Sequence[Mapping[str, object]]) -> None:
    """Print each distinct source with its quote; nothing for none."""
    seen: set[tuple[object, object]] = set()
    for citation in citations:
        key = (citation["n"], citation["quote"])
        if key in seen:
            continue
        seen.add(key)
        words = " ".join(str(citation["quote"] or "").split())
        quote = f"“{words}”" if words else "no passage carries this claim"
        say(f"[{citation['n']}] {citation['title'] or citation['document_id']} ({citation['document_id']}): {quote}")
