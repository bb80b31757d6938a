"""An index of its own for a measurement: filled through `Library.ingest`, compacted, opened again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeAlias

from tqdm import tqdm

from eval.bench.ingest import TENANT, ingested
from eval.bench.texts import BenchTexts
from indexes.edge import EdgeEngine
from indexes.embedding import Embedder
from indexes.ingest import TextEncoder
from indexes.library import Library, store_name
from indexes.manifest import Scope
from indexes.records import Encoded, EncodedQuestion, FloatVector, IndexKnobs, IntVector
from indexes.store import Engine
from ragopt.config import cache_dir, load_settings
from ragopt.tokens import count_tokens_batch

# Opens an embedder and closes it with the block; a name of a module, so that another process can be given it.
Encoders: TypeAlias = Callable[[], AbstractContextManager[TextEncoder]]

SCOPE = Scope(TENANT, "bench")
# Documents are taken for about this many chunks at a time, so that the progress bar moves.
CHUNKS_A_CALL = 500


class RecordingEncoder:
    """An embedder that also keeps the dense vector of every text it embedded, in the order they came."""

    def __init__(self, embedder: TextEncoder) -> None:
        self.tag = embedder.tag
        self.dim = embedder.dim
        self.vectors: dict[str, FloatVector] = {}
        self._embedder = embedder

    async def encode(self, texts: Sequence[str], *, on_batch: Callable[[int], None] | None = None) -> list[Encoded]:
        """Return what the embedder returns."""
        encoded = await self._embedder.encode(texts, on_batch=on_batch)
        self.vectors.update((text, one.dense) for text, one in zip(texts, encoded, strict=True))
        return encoded

    async def token_starts(self, texts: Sequence[str]) -> list[IntVector]:
        """Return what the embedder returns."""
        return await self._embedder.token_starts(texts)

    async def encode_question(self, text: str) -> EncodedQuestion:
        """Return what the embedder returns."""
        return await self._embedder.encode_question(text)


@contextmanager
def configured_encoder() -> Iterator[TextEncoder]:
    """Yield the embedder the settings name. Raises: `ModelUnavailable`, `ConfigError`."""
    embedder = Embedder.load(load_settings().embedding_model, cache_folder=cache_dir())
    try:
        yield embedder
    finally:
        embedder.close()


@asynccontextmanager
async def indexed(texts: BenchTexts, folder: Path, encoder: TextEncoder) -> AsyncIterator[tuple[Library, int]]:
    """Yield a library that holds at least `texts.chunks` chunks, and how many. Raises: `BenchError`.

    The index is compacted and loaded again first, so that no reorganisation runs while something is timed.
    """
    engine = EdgeEngine(folder)
    chunks, documents = 0, texts.documents()
    library = library_over(engine, encoder)
    with tqdm(desc="ingest", unit="chunk", total=texts.chunks) as bar:
        while chunks < texts.chunks:
            made = await ingested(library, documents, chunks=min(CHUNKS_A_CALL, texts.chunks - chunks))
            chunks += made
            bar.update(made)
    await library.close()
    await (await engine.open(store_name(SCOPE), dim=encoder.dim)).optimize()
    await engine.close()
    engine = EdgeEngine(folder)
    try:
        yield library_over(engine, encoder), chunks
    finally:
        await engine.close()


def library_over(engine: Engine, encoder: TextEncoder) -> Library:
    """Return a library with the settings of the service."""
    settings = load_settings()
    return Library(
        engine,
        encoder,
        knobs=IndexKnobs(chunk_tokens=settings.chunk_tokens),
        count_tokens=count_tokens_batch,
        max_document_bytes=settings.max_document_bytes,
    )
