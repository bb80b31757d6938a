"""What every engine owes the rest of the system: one class of facts, run against each of them."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from uuid import NAMESPACE_OID, uuid4, uuid5

import numpy as np
import pytest

from eval.campaign.qdrant_server import qdrant_served
from indexes.edge import EdgeEngine
from indexes.errors import DocumentError, InvalidText, StoreUnavailable
from indexes.qdrant import QdrantEngine
from indexes.records import FloatVector, SparseVector
from indexes.shard_files import copy_shard
from indexes.store import Engine, Payload, PayloadValue, Point, Scored, Store, Where

SERVER_URL = os.environ.get("QDRANT_TEST_URL", "")
NEVER = 2**53 - 1
# Dense vectors are stored with eleven binary digits.
HALF_PRECISION = 2**-11
ALL = Where()
DIM = 4
FRESH = "fresh"

# Each filter, and which of the six points of `test_filters` match it.
FILTERS: list[tuple[Where, set[int]]] = [
    (ALL, {0, 1, 2, 3, 4, 5}),
    (Where(equal={"kind": "chunk"}), {0, 2, 4}),
    (Where(equal={"kind": ("chunk", "text")}), {0, 1, 2, 3, 4, 5}),
    (Where(equal={"kind": ("text", "absent")}), {1, 3, 5}),
    (Where(equal={"kind": ()}), set()),
    (Where(equal={"n": 3}), {3}),
    (Where(equal={"document_id": "a/ü"}), {0, 1, 2}),
    (Where(equal={"absent": "x"}), set()),
    (Where(at_most={"born": 2}), {0, 1, 2}),
    (Where(above={"born": 2}), {3, 4, 5}),
    (Where(above={"dead": NEVER - 1}), {0, 1, 2, 3, 4}),
    (Where(above={"dead": NEVER}), set()),
    (Where(at_most={"absent": 1}), set()),
    (Where(equal={"kind": "chunk", "document_id": "b"}, at_most={"born": 4}, above={"dead": 4}), {4}),
    (Where(holds=[("facets", ("year 0",))]), {0, 3}),
    (Where(holds=[("facets", ("year 0", "year 2", "year 9"))]), {0, 2, 3, 5}),
    (Where(holds=[("facets", ("year 0", "year 2")), ("facets", ("even",))]), {0, 2}),
    (Where(holds=[("facets", ("year",))]), set()),
    (Where(holds=[("facets", ("even",)), ("facets", ("odd",))]), set()),
    (Where(holds=[("facets", ("even",)), ("facets", ())]), set()),
    (Where(holds=[("absent", ("even",))]), set()),
    (Where(equal={"kind": "chunk"}, above={"born": 1}, holds=[("facets", ("year 1", "year 2"))]), {2, 4}),
    (Where(holds=[("facets", tuple(f"year {n}" for n in range(100)))] * 20), {0, 1, 2, 3, 4, 5}),
]

MakeEngine = Callable[[], Engine]
Scenario = Callable[[Store], Awaitable[None]]


SERVER = [pytest.param("qdrant_server", marks=pytest.mark.qdrant_server)] if SERVER_URL else []


@pytest.mark.qdrant_server
@pytest.mark.skipif(not SERVER_URL, reason="QDRANT_TEST_URL names no Qdrant server: the contract runs without one")
def test_a_server_is_named_and_answers() -> None:
    """With a server named, every fact below is checked against it as well; without, this one line says so."""

    async def names() -> list[str]:
        engine = QdrantEngine(SERVER_URL)
        try:
            return await engine.names()
        finally:
            await engine.close()

    assert isinstance(asyncio.run(names()), list)


@pytest.fixture(scope="module")
def stand_in() -> Iterator[str]:
    """Yield the address of a small HTTP server over the simulation: the client path with real requests."""
    with qdrant_served() as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["edge", "qdrant_local", "qdrant_http", *SERVER])
def make_engine(request: pytest.FixtureRequest, empty_index: Path, tmp_path: Path, stand_in: str) -> MakeEngine:
    """Return what makes an engine of each kind."""
    copy_shard(empty_index, tmp_path / "index")
    makers: dict[str, MakeEngine] = {
        "edge": lambda: EdgeEngine(tmp_path / "index"),
        "qdrant_local": QdrantEngine.local,
        "qdrant_http": lambda: QdrantEngine(stand_in),
        "qdrant_server": lambda: QdrantEngine(SERVER_URL),
    }
    return makers[request.param]


@pytest.fixture(scope="module")
def empty_index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an embedded index with one empty store; making one syncs 300 times, copying it never."""
    folder = tmp_path_factory.mktemp("empty") / "index"

    async def make() -> None:
        engine = EdgeEngine(folder)
        await engine.open(FRESH, dim=DIM)
        await engine.close()

    asyncio.run(make())
    return folder


@pytest.fixture
def run(make_engine: MakeEngine) -> Callable[[Scenario], None]:
    """Return what runs a scenario against a fresh, empty store."""

    async def against(scenario: Scenario) -> None:
        engine = make_engine()
        name = FRESH if isinstance(engine, EdgeEngine) else f"{FRESH}/{uuid4()}"
        try:
            await scenario(await engine.open(name, dim=DIM))
        finally:
            await engine.close()

    return lambda scenario: asyncio.run(against(scenario))


def point_id(n: int) -> str:
    """Return the same UUID for the same number."""
    return str(uuid5(NAMESPACE_OID, str(n)))


def ids(*numbers: int) -> list[str]:
    """Return the ids of several points."""
    return [point_id(n) for n in numbers]


def vector(*values: float) -> FloatVector:
    """Return a dense vector."""
    return np.array(values, dtype=np.float32)


def terms(*indices: int) -> SparseVector:
    """Return a sparse vector of weight 1 for each term."""
    return SparseVector(indices, (1.0,) * len(indices))


def point(
    n: int, dense: FloatVector | None = None, sparse: SparseVector | None = None, **payload: PayloadValue
) -> Point:
    """Return a point whose payload has its number."""
    return Point(point_id(n), {"n": n, **payload}, dense, sparse)


def numbers(points: list[Point]) -> list[object]:
    """Return the numbers of points."""
    return [item.payload["n"] for item in points]


def found(hits: list[Scored]) -> list[str]:
    """Return the ids of hits, best first."""
    return [hit.id for hit in hits]


async def scrolled(store: Store, where: Where, *, with_vectors: bool = False) -> list[Point]:
    """Return all that a scroll yields."""
    return [item async for item in store.scroll(where, with_vectors=with_vectors)]


class TestStore:
    def test_fetch_follows_the_order_asked_for(self, run: Callable[[Scenario], None]) -> None:
        """Points come back in the order of the ids, without those that do not exist, as often as they are named."""

        async def scenario(store: Store) -> None:
            await store.upsert([point(n) for n in range(5)])
            assert numbers(await store.fetch(ids(4, 0, 99, 2, 4))) == [4, 0, 2, 4]
            assert await store.fetch([]) == []
            assert await store.fetch(ids(99)) == []

        run(scenario)

    def test_payload_and_vectors_come_back(self, run: Callable[[Scenario], None]) -> None:
        """A payload comes back equal, a dense vector at unit length, a sparse one equal; vectors only if asked."""
        payload: Payload = {
            "text": "naïve 漢字 \U0001f600 \x00 \u2028 end",
            "born": NEVER,
            "negative": -(2**63),
            "ratio": 0.1,
            "flag": True,
            "nothing": None,
            "units": [[0, 5], [6, 9]],
            "metadata": {"tëam": "hr", "dotted.key": 1, "": ""},
        }

        async def scenario(store: Store) -> None:
            sparse = SparseVector((7, 2**32 - 1), (0.5, 2.0))
            await store.upsert([Point(point_id(1), payload, vector(3, 0, 4, 0), sparse)])
            bare, full = await store.fetch(ids(1)), await store.fetch(ids(1), with_vectors=True)
            assert bare == [Point(point_id(1), payload)]
            assert full[0].payload == payload
            assert full[0].dense is not None
            assert full[0].dense.dtype == np.float32
            assert full[0].dense.tolist() == pytest.approx([0.6, 0, 0.8, 0], abs=HALF_PRECISION)
            assert full[0].sparse == sparse

        run(scenario)

    def test_upsert_replaces_the_whole_point(self, run: Callable[[Scenario], None]) -> None:
        """A second upsert of an id leaves nothing of the first: neither payload keys nor vectors."""

        async def scenario(store: Store) -> None:
            await store.upsert([point(1, vector(1, 0, 0, 0), terms(5), old="x")])
            await store.upsert([point(1, kind="new")])
            assert await store.fetch(ids(1), with_vectors=True) == [point(1, kind="new")]
            assert await store.count(ALL) == 1
            assert await store.search_dense(vector(1, 0, 0, 0), ALL, limit=5) == []
            assert await store.search_sparse(terms(5), ALL, limit=5) == []

        run(scenario)

    def test_dense_search_ranks_by_cosine(self, run: Callable[[Scenario], None]) -> None:
        """Hits are ordered by cosine, which is their score, and cut at the limit."""

        async def scenario(store: Store) -> None:
            await store.upsert([point(n, vector(math.cos(n / 2), math.sin(n / 2), 0, 0)) for n in range(6)])
            hits = await store.search_dense(vector(1, 0, 0, 0), ALL, limit=4)
            assert found(hits) == ids(0, 1, 2, 3)
            assert [hit.score for hit in hits] == pytest.approx([math.cos(n / 2) for n in range(4)], abs=HALF_PRECISION)
            assert len(await store.search_dense(vector(1, 0, 0, 0), ALL, limit=50)) == 6

        run(scenario)

    def test_sparse_search_weighs_terms_by_rarity(self, run: Callable[[Scenario], None]) -> None:
        """The score is the dot product with the IDF of each term, over the points that have a sparse vector."""
        common, rare = 1, 2

        async def scenario(store: Store) -> None:
            await store.upsert([point(n, None, terms(common)) for n in range(4)])
            await store.upsert([point(9, None, SparseVector((rare,), (0.5,))), point(10), point(11)])
            hits = await store.search_sparse(terms(common, rare), ALL, limit=10)
            # Source: Lucene's BM25 IDF, ln(1 + (N - n + 0.5) / (n + 0.5)), with N = 5.
            idf = {n: math.log(1 + (5 - n + 0.5) / (n + 0.5)) for n in (1, 4)}
            assert found(hits)[0] == point_id(9)
            assert set(found(hits)) == set(ids(0, 1, 2, 3, 9))
            assert [hit.score for hit in hits] == pytest.approx([0.5 * idf[1], *([idf[4]] * 4)], abs=1e-5)

        run(scenario)

    def test_sparse_search_finds_only_shared_terms(self, run: Callable[[Scenario], None]) -> None:
        """A question without terms, or with unknown terms alone, has no hits."""

        async def scenario(store: Store) -> None:
            await store.upsert(
                [point(1, vector(1, 0, 0, 0), terms(5)), point(2, vector(0, 1, 0, 0), SparseVector((), ()))]
            )
            assert await store.search_sparse(SparseVector((), ()), ALL, limit=5) == []
            assert await store.search_sparse(terms(77), ALL, limit=5) == []
            assert found(await store.search_sparse(terms(5, 77), ALL, limit=5)) == ids(1)
            assert len(await store.search_dense(vector(0, 1, 0, 0), ALL, limit=5)) == 2

        run(scenario)

    def test_points_without_vectors_are_never_found(self, run: Callable[[Scenario], None]) -> None:
        """A point without vectors is stored, fetched and counted, and no search returns it."""

        async def scenario(store: Store) -> None:
            await store.upsert([point(1, kind="manifest"), point(2, vector(1, 0, 0, 0), terms(5), kind="chunk")])
            assert found(await store.search_dense(vector(1, 0, 0, 0), ALL, limit=9)) == ids(2)
            assert found(await store.search_sparse(terms(5), ALL, limit=9)) == ids(2)
            assert await store.search_dense(vector(1, 0, 0, 0), Where(equal={"kind": "manifest"}), limit=9) == []
            assert await store.fetch(ids(1), with_vectors=True) == [point(1, kind="manifest")]
            assert await store.count(ALL) == 2

        run(scenario)

    def test_filters(self, run: Callable[[Scenario], None]) -> None:
        """A filter is a conjunction of equal, one-of, at-most, above and holds, and means the same to every method."""
        points = [
            point(
                n,
                vector(1, n, 0, 0),
                terms(5),
                kind=("chunk", "text")[n % 2],
                document_id="a/ü" if n < 3 else "b",
                born=n,
                dead=NEVER if n < 5 else 5,
                facets=[f"year {n % 3}", ("even", "odd")[n % 2]],
            )
            for n in range(6)
        ]

        async def scenario(store: Store) -> None:
            for where, expected in FILTERS:
                await store.upsert(points)
                wanted = {point_id(n) for n in expected}
                assert set(numbers(await scrolled(store, where))) == expected, where
                assert await store.count(where) == len(expected), where
                assert set(found(await store.search_dense(vector(1, 0, 0, 0), where, limit=10))) == wanted, where
                assert set(found(await store.search_sparse(terms(5), where, limit=10))) == wanted, where
                await store.delete(where)
                assert set(numbers(await scrolled(store, ALL))) == set(range(6)) - expected, where

        run(scenario)

    def test_set_payload_merges(self, run: Callable[[Scenario], None]) -> None:
        """Setting a payload changes these keys of the matching points, and leaves other keys, vectors and points."""

        async def scenario(store: Store) -> None:
            await store.upsert([point(n, vector(1, 0, 0, 0), terms(5), kind="chunk", dead=NEVER) for n in range(3)])
            await store.set_payload(Where(above={"n": 0}), {"dead": 7, "extra": "x"})
            expected = [
                point(0, vector(1, 0, 0, 0), terms(5), kind="chunk", dead=NEVER),
                *(point(n, vector(1, 0, 0, 0), terms(5), kind="chunk", dead=7, extra="x") for n in (1, 2)),
            ]
            got = await store.fetch(ids(0, 1, 2), with_vectors=True)
            assert [item.payload for item in got] == [item.payload for item in expected]
            assert [item.sparse for item in got] == [terms(5)] * 3
            assert len(await store.search_dense(vector(1, 0, 0, 0), Where(at_most={"dead": 7}), limit=9)) == 2

        run(scenario)

    def test_scroll_yields_every_point_once(self, run: Callable[[Scenario], None]) -> None:
        """A scroll over more points than any page yields each of them once, with vectors if asked."""

        async def scenario(store: Store) -> None:
            await store.upsert([point(n, vector(1, n, 0, 0), kind=("a", "b")[n % 2]) for n in range(1_203)])
            assert sorted(map(int, map(str, numbers(await scrolled(store, ALL))))) == list(range(1_203))
            odd = await scrolled(store, Where(equal={"kind": "b"}), with_vectors=True)
            assert len(odd) == 601
            assert all(item.dense is not None for item in odd)

        run(scenario)

    def test_empty_store(self, run: Callable[[Scenario], None]) -> None:
        """A store without points answers every question with nothing, and takes empty writes."""

        async def scenario(store: Store) -> None:
            await store.upsert([])
            await store.delete(ALL)
            await store.set_payload(ALL, {"x": 1})
            await store.optimize()
            assert await store.count(ALL) == 0
            assert await scrolled(store, ALL) == []
            assert await store.search_dense(vector(1, 0, 0, 0), ALL, limit=5) == []
            assert await store.search_sparse(terms(1), ALL, limit=5) == []

        run(scenario)

    def test_wrong_dimension_is_refused(self, run: Callable[[Scenario], None]) -> None:
        """A vector of another size is an error of the store, in a write and in a search."""

        async def scenario(store: Store) -> None:
            with pytest.raises(StoreUnavailable):
                await store.upsert([point(1, vector(1, 0))])
            await store.upsert([point(2, vector(1, 0, 0, 0))])
            with pytest.raises(StoreUnavailable):
                await store.search_dense(vector(1, 0), ALL, limit=5)
            assert await store.count(ALL) == 1

        run(scenario)

    def test_lone_surrogate_is_refused(self, run: Callable[[Scenario], None]) -> None:
        """A payload that is not valid Unicode stores nothing of its call, however deep it is."""
        invalid: list[PayloadValue] = ["a\ud800", ["a", ["\udfff"]], {"\ud800": 1}, {"a": {"b": "\ud800"}}]

        async def scenario(store: Store) -> None:
            for bad in invalid:
                with pytest.raises(InvalidText):
                    await store.upsert([*(point(n) for n in range(300)), point(300, text=bad)])
                with pytest.raises(InvalidText):
                    await store.set_payload(ALL, {"text": bad})
            with pytest.raises(InvalidText):
                await store.count(Where(equal={"kind": ("a", "\ud800")}))
            with pytest.raises(InvalidText):
                await store.count(Where(holds=[("facets", ("a", "\ud800"))]))
            assert await store.count(ALL) == 0

        run(scenario)

    def test_number_that_would_change_is_refused(self, run: Callable[[Scenario], None]) -> None:
        """A number outside 64 bits, infinity and NaN are refused: engines would store something else."""

        async def scenario(store: Store) -> None:
            for bad in (2**63, -(2**63) - 1, math.inf, math.nan):
                with pytest.raises(DocumentError):
                    await store.upsert([point(1, metadata={"x": [bad]})])
            assert await store.count(ALL) == 0

        run(scenario)

    def test_large_payload(self, run: Callable[[Scenario], None]) -> None:
        """Payloads of several megabytes are stored whole, together with small ones."""
        text = "long text ü " * 250_000

        async def scenario(store: Store) -> None:
            await store.upsert([point(1, text=text), point(2), point(3, text=text)])
            assert [item.payload.get("text") for item in await store.fetch(ids(1, 2, 3))] == [text, None, text]

        run(scenario)

    def test_searches_while_writing(self, run: Callable[[Scenario], None]) -> None:
        """Ten searches at a time during upserts always see the points that were there before, and no torn point."""

        async def scenario(store: Store) -> None:
            await store.upsert([point(n, vector(1, n / 10, 0, 0), terms(5), kind="old") for n in range(20)])
            old = Where(equal={"kind": "old"})

            async def write() -> None:
                for start in range(100, 500, 100):
                    new = [point(n, vector(1, 0, 0, 0), terms(5), kind="new") for n in range(start, start + 100)]
                    await store.upsert(new)

            async def search() -> None:
                for _ in range(3):
                    assert found(await store.search_dense(vector(1, 0, 0, 0), old, limit=20)) == ids(*range(20))
                    assert len(await store.search_sparse(terms(5), ALL, limit=50)) >= 20
                    new = await scrolled(store, Where(equal={"kind": "new"}), with_vectors=True)
                    assert all(item.dense is not None and item.sparse is not None for item in new)

            await asyncio.gather(write(), *(search() for _ in range(10)))
            assert await store.count(ALL) == 420

        run(scenario)


class TestEngine:
    def test_stores_do_not_share_points(self, make_engine: MakeEngine) -> None:
        """Two stores hold the same id without seeing each other, and a name opens the same store every time."""

        async def scenario() -> None:
            engine = make_engine()
            first, second = f"a-{uuid4()}", f"b-{uuid4()}"
            one, two = await engine.open(first, dim=DIM), await engine.open(second, dim=DIM)
            await one.upsert([point(1, kind="one")])
            await two.upsert([point(1, kind="two")])
            again = await engine.open(first, dim=DIM)
            assert [item.payload["kind"] for item in await again.fetch(ids(1))] == ["one"]
            await engine.close()

        asyncio.run(scenario())

    def test_names_are_any_text(self, make_engine: MakeEngine) -> None:
        """A name may hold slashes, dots, control characters, any script and thousands of characters."""
        unique = str(uuid4())
        odd = [
            "a/b",
            "..",
            ".",
            "A",
            "a",
            "漢字 \U0001f600",
            "x\x00\n\x1f",
            'q:"<>|?*\\',
            "=41",
            "%41",
            "==" + "f" * 64,
        ]
        names = [f"{unique}{name}" for name in (*odd, "long" * 700, "ü" * 300)] + [f"../../{unique}"]

        async def scenario() -> None:
            engine = make_engine()
            for n, name in enumerate(names):
                await (await engine.open(name, dim=DIM)).upsert([point(n)])
            assert [name for name in await engine.names() if unique in name] == sorted(names)
            for n, name in enumerate(names):
                assert numbers(await scrolled(await engine.open(name, dim=DIM), ALL)) == [n]
            with pytest.raises(InvalidText):
                await engine.open("a\ud800", dim=DIM)
            await engine.close()

        asyncio.run(scenario())

    def test_opened_twice_at_once_is_one_store(self, make_engine: MakeEngine) -> None:
        """Opening a new name from two tasks at once makes one store."""

        async def scenario() -> None:
            engine = make_engine()
            name = f"twice {uuid4()}"
            one, two = await asyncio.gather(engine.open(name, dim=DIM), engine.open(name, dim=DIM))
            await one.upsert([point(1)])
            assert await two.count(ALL) == 1
            assert (await engine.names()).count(name) == 1
            await engine.close()

        asyncio.run(scenario())

    def test_ping(self, make_engine: MakeEngine) -> None:
        """A healthy engine answers, and lists no store that was never opened."""

        async def scenario() -> None:
            engine = make_engine()
            await engine.ping()
            assert "never opened" not in await engine.names()
            await engine.close()

        asyncio.run(scenario())
