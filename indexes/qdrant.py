"""The server engine: a Qdrant server or cluster through its own client; same points as `indexes.edge`."""

from __future__ import annotations

import hashlib
import math
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

import numpy as np
from pydantic import SecretStr

from indexes.endpoint import shown_address
from indexes.errors import InvalidText, StoreUnavailable
from indexes.points import DENSE, SCROLL_PAGE, SPARSE, batches, check_where, in_order, payload_bytes
from indexes.records import FloatVector, SparseVector
from indexes.store import INTEGER_FIELDS, KEYWORD_FIELDS, Payload, Point, Scored, Where

if TYPE_CHECKING:
    from qdrant_client import AsyncQdrantClient, models

LOCAL = ":memory:"
PREFIX = "ragopt_"
# The server takes 255 characters, and none of < > : " / \ | ? *
MAX_NAME = 255
# Never the start of an encoded name: there, two hex digits follow a =.
DIGEST_MARK = "=="
NAME_KEY = "ragopt_name"


class QdrantEngine:
    """The collections whose names start with `ragopt_`. Nothing is sent before the first call."""

    def __init__(self, url: str, api_key: SecretStr | None = None, *, timeout_s: float = 10) -> None:
        # Importing the client takes 0.7 s: not where the embedded index is used.
        from qdrant_client import AsyncQdrantClient

        self._local = url == LOCAL
        self._url = shown_address(url)
        key = api_key.get_secret_value() if api_key else None
        # The client would ask the server for its version here, blocking, and warn if it is down.
        self._client = (
            AsyncQdrantClient(location=LOCAL)
            if self._local
            else AsyncQdrantClient(url=url, api_key=key, timeout=math.ceil(timeout_s), check_compatibility=False)
        )

    @classmethod
    def local(cls) -> QdrantEngine:
        """Return an engine that keeps everything in the memory of this process, by the client's own simulation."""
        return cls(LOCAL)

    async def open(self, name: str, *, dim: int) -> QdrantStore:
        """Return the store of that name, made with dense size `dim` if it does not exist yet.

        Raises: `StoreUnavailable`, `InvalidText` if the name is not valid Unicode.
        """
        collection = collection_name(name)
        with translated(self._url):
            if not await self._client.collection_exists(collection):
                await self._create(collection, name, dim=dim)
            if not self._local:  # the simulation has no payload indexes and warns
                await self._index_payload(collection)
        return QdrantStore(self._client, collection, url=self._url)

    async def names(self) -> list[str]:
        """Return the names of the existing stores, sorted. Raises: `StoreUnavailable`."""
        with translated(self._url):
            found = await self._client.get_collections()
            collections = [item.name for item in found.collections if item.name.startswith(PREFIX)]
            return sorted([await self._store_name(collection) for collection in collections])

    async def ping(self) -> None:
        """Return if the server answers. Raises: `StoreUnavailable`."""
        with translated(self._url):
            await self._client.info()

    async def close(self) -> None:
        """Close the connections; the engine is not used afterwards."""
        await self._client.close()

    async def _create(self, collection: str, name: str, *, dim: int) -> None:
        from qdrant_client import models
        from qdrant_client.http.exceptions import UnexpectedResponse

        try:
            await self._client.create_collection(
                collection,
                vectors_config={
                    DENSE: models.VectorParams(
                        size=dim, distance=models.Distance.COSINE, datatype=models.Datatype.FLOAT16
                    )
                },
                sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                metadata={NAME_KEY: name},
            )
        except UnexpectedResponse:
            # Another worker may have made it between the question and now.
            if not await self._client.collection_exists(collection):
                raise

    async def _index_payload(self, collection: str) -> None:
        """Make the payload indexes that are missing: a worker may have died before it had made all."""
        from qdrant_client.models import PayloadSchemaType

        wanted = dict.fromkeys(KEYWORD_FIELDS, PayloadSchemaType.KEYWORD)
        wanted |= dict.fromkeys(INTEGER_FIELDS, PayloadSchemaType.INTEGER)
        present = (await self._client.get_collection(collection)).payload_schema
        for field, schema in wanted.items():
            if field not in present:
                await self._client.create_payload_index(collection, field, schema, wait=True)

    async def _store_name(self, collection: str) -> str:
        encoded = collection.removeprefix(PREFIX)
        if not encoded.startswith(DIGEST_MARK):
            return unquote(encoded.replace("=", "%"))
        metadata = (await self._client.get_collection(collection)).config.metadata or {}
        return str(metadata.get(NAME_KEY, encoded))


class QdrantStore:
    """One collection of the server; the connections belong to the engine."""

    def __init__(self, client: AsyncQdrantClient, collection: str, *, url: str) -> None:
        self._client = client
        self._collection = collection
        self._url = url

    async def upsert(self, points: Sequence[Point]) -> None:
        """Insert or replace points, in batches; each is in the server's log when the next is sent.

        Raises: `InvalidText`, `DocumentError`, `StoreUnavailable`.
        """
        for batch in batches(points):
            with translated(self._url):
                await self._client.upsert(self._collection, [to_qdrant(point) for point in batch], wait=True)

    async def search_dense(self, vector: FloatVector, where: Where, *, limit: int) -> list[Scored]:
        """Return the `limit` points nearest to `vector` that match, by cosine, best first."""
        return await self._search(vector.tolist(), where, using=DENSE, limit=limit)

    async def search_sparse(self, vector: SparseVector, where: Where, *, limit: int) -> list[Scored]:
        """Return the `limit` points of the highest BM25 that match, best first; [] for an empty vector."""
        if not vector.indices:
            return []
        return await self._search(sparse_vector(vector), where, using=SPARSE, limit=limit)

    async def fetch(self, ids: Sequence[str], *, with_vectors: bool = False) -> list[Point]:
        """Return the points of `ids` that exist, in the order of `ids`."""
        with translated(self._url):
            records = await self._client.retrieve(
                self._collection, list(ids), with_payload=True, with_vectors=with_vectors
            )
            return in_order(ids, map(from_qdrant, records))

    async def scroll(self, where: Where, *, with_vectors: bool = False) -> AsyncIterator[Point]:
        """Yield every matching point, by id."""
        matching = qdrant_filter(where)
        offset = None
        while True:
            with translated(self._url):
                records, offset = await self._client.scroll(
                    self._collection,
                    scroll_filter=matching,
                    limit=SCROLL_PAGE,
                    offset=offset,
                    with_payload=True,
                    with_vectors=with_vectors,
                )
            for record in records:
                yield from_qdrant(record)
            if offset is None:
                return

    async def set_payload(self, where: Where, payload: Payload) -> None:
        """Merge `payload` into every matching point; their vectors stay."""
        payload_bytes(payload)
        matching = qdrant_filter(where)
        with translated(self._url):
            await self._client.set_payload(self._collection, payload, points=matching, wait=True)

    async def delete(self, where: Where) -> None:
        """Delete every matching point."""
        from qdrant_client.models import FilterSelector

        matching = FilterSelector(filter=qdrant_filter(where))
        with translated(self._url):
            await self._client.delete(self._collection, matching, wait=True)

    async def count(self, where: Where) -> int:
        """Return how many points match."""
        matching = qdrant_filter(where)
        with translated(self._url):
            return (await self._client.count(self._collection, count_filter=matching, exact=True)).count

    async def optimize(self) -> bool:
        """Return True: the server reorganises its segments by itself."""
        return True

    async def close(self) -> None:
        """Do nothing: the connections are the engine's."""

    async def _search(
        self, vector: list[float] | models.SparseVector, where: Where, *, using: str, limit: int
    ) -> list[Scored]:
        matching = qdrant_filter(where)
        with translated(self._url):
            found = await self._client.query_points(
                self._collection, vector, using=using, query_filter=matching, limit=limit, with_payload=False
            )
        return [Scored(str(point.id), point.score) for point in found.points]


@contextmanager
def translated(url: str) -> Iterator[None]:
    """Raise `StoreUnavailable` in place of what the client raises in the block."""
    from qdrant_client.common.client_exceptions import QdrantException
    from qdrant_client.http.exceptions import ApiException

    try:
        yield
    # ValueError: answers that do not parse, and every error of the local simulation.
    except (ApiException, QdrantException, ValueError) as error:
        raise StoreUnavailable(f"Qdrant at {url}: {error}") from error


def collection_name(name: str) -> str:
    """Return the name of the collection of a store: readable and reversible, or a digest where that is too long.

    Raises: `InvalidText` if the name is not valid Unicode.
    """
    try:
        encoded = PREFIX + quote(name, safe="").replace("%", "=")
        digest = hashlib.sha256(name.encode()).hexdigest()
    except UnicodeEncodeError as error:
        raise InvalidText(f"the name of a store is not valid Unicode: {error.reason}") from error
    return encoded if len(encoded) <= MAX_NAME else PREFIX + DIGEST_MARK + digest


def qdrant_filter(where: Where) -> models.Filter:
    """Return the client's filter. Raises: `InvalidText`."""
    from qdrant_client import models

    check_where(where)
    must: list[models.Condition] = [
        models.FieldCondition(
            key=key,
            match=models.MatchAny(any=list(value)) if isinstance(value, tuple) else models.MatchValue(value=value),
        )
        for key, value in where.equal.items()
    ]
    must += [models.FieldCondition(key=key, match=models.MatchAny(any=list(values))) for key, values in where.holds]
    must += [models.FieldCondition(key=key, range=models.Range(lte=value)) for key, value in where.at_most.items()]
    must += [models.FieldCondition(key=key, range=models.Range(gt=value)) for key, value in where.above.items()]
    return models.Filter(must=must)


def sparse_vector(vector: SparseVector) -> models.SparseVector:
    """Return the vector as the client takes it."""
    from qdrant_client import models

    return models.SparseVector(indices=list(vector.indices), values=list(vector.values))


def to_qdrant(point: Point) -> models.PointStruct:
    """Return the point as the client takes it."""
    from qdrant_client import models

    vectors: dict[str, models.Vector] = {}
    if point.dense is not None:
        vectors[DENSE] = point.dense.tolist()
    if point.sparse is not None:
        vectors[SPARSE] = sparse_vector(point.sparse)
    return models.PointStruct(id=point.id, vector=vectors, payload=point.payload)


def from_qdrant(record: models.Record) -> Point:
    """Return a record of the client as a point; vectors are None where they were not asked for."""
    from qdrant_client import models

    vectors = record.vector if isinstance(record.vector, dict) else {}
    dense, sparse = vectors.get(DENSE), vectors.get(SPARSE)
    return Point(
        str(record.id),
        record.payload or {},
        None if dense is None else np.asarray(dense, dtype=np.float32),
        SparseVector(tuple(sparse.indices), tuple(sparse.values)) if isinstance(sparse, models.SparseVector) else None,
    )
