"""`ragopt ingest`: files and folders into a collection, through the running service or in this process."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from indexes.access import EVERYTHING
from indexes.ingest import IngestProgress
from indexes.records import IngestResult
from ragopt.audit.events import LOCAL, Actor, AuditEvent, stored
from ragopt.cli.arguments import add_collection, add_json, add_place
from ragopt.cli.files import Batch, Found, batches, found_files
from ragopt.cli.remote import Remote, service_at, service_of
from ragopt.cli.terminal import complain, say, say_json
from ragopt.config import Settings, load_settings
from ragopt.principals import reader_of
from ragopt.state.data_dir import DataDirLock
from ragopt.state.key_records import DEFAULT_TENANT
from ragopt.wiring import Service, open_service

EXAMPLE = "ragopt ingest handbook/ notes.md --collection default"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a file or a folder")
    add_collection(parser, purpose="where to put the documents")
    parser.add_argument(
        "--access", action="append", metavar="PRINCIPAL", help="who may read the files, as group:hr; again for more"
    )
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Ingest and report; exit code 1 if any document failed."""
    settings = load_settings(data_dir=arguments.data_dir)
    access = None if arguments.access is None else reader_of(arguments.access, field="--access").principals
    found = replace(found_files(arguments.paths), access=access)
    remote = service_at(arguments.url, settings) if arguments.url else service_of(settings)
    if remote is not None:
        results = ingest_remotely(remote, found, collection=arguments.collection, settings=settings)
    else:
        results = asyncio.run(ingest_here(found, collection=arguments.collection, settings=settings))
    return report(results, found, as_json=arguments.json)


def ingest_remotely(remote: Remote, found: Found, *, collection: str, settings: Settings) -> list[IngestResult]:
    """Return what became of each file, sent to a service in batches. Raises: `RagoptError`."""
    results: list[IngestResult] = []
    with progress_bar(found) as bar:
        for batch in batches(found, max_document_bytes=settings.max_document_bytes):
            sent = remote.ingest(batch.documents, collection=collection) if batch.documents else []
            results += [*batch.failures, *sent]
            advance(bar, batch, chunks=sum(result.chunks for result in results))
    return results


async def ingest_here(found: Found, *, collection: str, settings: Settings) -> list[IngestResult]:
    """Return what became of each file, ingested by this process, which holds the data dir meanwhile.

    The whole service is opened, not the library alone: writers of a shared index take turns by way of Redis.
    """
    with nullcontext() if settings.qdrant_url else DataDirLock(settings.data_dir):
        async with open_service(settings) as service:
            return await ingest_files(service, found, collection=collection)


async def ingest_files(service: Service, found: Found, *, collection: str) -> list[IngestResult]:
    """Return what became of each file, with a progress bar on standard error."""
    results: list[IngestResult] = []
    reading = batches(found, max_document_bytes=service.settings.max_document_bytes)
    with progress_bar(found) as bar:
        while (batch := await asyncio.to_thread(next, reading, None)) is not None:
            before = sum(result.chunks for result in results)
            new = await service.library.ingest(
                DEFAULT_TENANT,
                collection,
                batch.documents,
                by=EVERYTHING,
                progress=show_chunks(bar, before=before),
            )
            results += [*batch.failures, *new]
            told = AuditEvent("ingest", Actor(LOCAL, DEFAULT_TENANT), collection=collection, documents=stored(new))
            service.audit.record(told)
            advance(bar, batch, chunks=sum(result.chunks for result in results))
    return results


def progress_bar(found: Found) -> tqdm[None]:
    """Return a bar over the documents, on standard error."""
    return tqdm(total=found.documents, unit="document", desc="ingest", mininterval=0.5, dynamic_ncols=True)


def show_chunks(bar: tqdm[None], *, before: int) -> Callable[[IngestProgress], None]:
    """Return a listener that shows on the bar how many chunks are done, `before` of them earlier."""

    def show(progress: IngestProgress) -> None:
        bar.set_postfix_str(f"{before + progress.chunks_done}/{before + progress.chunks_total} chunks", refresh=False)
        bar.update(0)

    return show


def advance(bar: tqdm[None], batch: Batch, *, chunks: int) -> None:
    """Move the bar by one batch."""
    bar.set_postfix_str(f"{chunks} chunks", refresh=False)
    bar.update(len(batch.documents) + len(batch.failures))


def report(results: Sequence[IngestResult], found: Found, *, as_json: bool) -> int:
    """Print what became of the files, each failure as one line on standard error, and return the exit code."""
    failed = [result for result in results if result.status == "failed"]
    for result in failed:
        reason = result.error.detail if result.error else "unknown"
        complain(f"failed: {result.id}: {' '.join(reason.split())}")
    if as_json:
        say_json({"documents": [asdict(result) for result in results], "skipped": found.skipped})
    else:
        say(summary(results, skipped=found.skipped))
    return 1 if failed else 0


def summary(results: Sequence[IngestResult], *, skipped: int) -> str:
    """Return one line that counts the results."""
    counts = Counter(result.status for result in results)
    parts = ", ".join(f"{counts[status]} {status}" for status in ("created", "updated", "unchanged", "failed"))
    chunks = sum(result.chunks for result in results)
    line = f"{len(results)} documents: {parts}; {chunks} chunks"
    files = "1 file" if skipped == 1 else f"{skipped} files"
    return f"{line}; {files} of other types skipped" if skipped else line
