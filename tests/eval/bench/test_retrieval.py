"""Searches side by side: what is measured of each, and the adapters of what we are compared with."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.bench.index import RecordingEncoder
from eval.bench.llama import BareBm25s, LlamaFusion
from eval.bench.rerank import HITS, bench_rerank
from eval.bench.retrieval import WARM_UP, System, bench_retrieval, in_turns, other_systems, shared
from eval.bench.texts import BenchTexts
from indexes.ingest import TextEncoder
from indexes.records import EncodedQuestion
from tests.fakes import WordEncoder

TEXTS = BenchTexts.of(None, chunks=60, seed=0)


@contextmanager
def words() -> Iterator[TextEncoder]:
    """Yield an encoder that needs no model."""
    yield WordEncoder()


def test_a_small_comparison_measures_ours_and_whatever_is_installed() -> None:
    """Every system has ordered percentiles; embedding adds to those that embed; what is missing is named."""
    report = bench_retrieval(TEXTS, encoders=words, questions=6)
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert report.n == 6
    assert int(str(report.config["chunks"])) >= 60
    timed = [name.removesuffix(".p50_ms") for name in values if name.endswith(".p50_ms")]
    assert {"ragopt", "ragopt_no_rerank", "ragopt+embed", "rank_bm25"} <= set(timed)
    assert all(0 < values[f"{name}.p50_ms"] <= values[f"{name}.p95_ms"] for name in timed)
    assert values["ragopt.p50_ms"] < values["ragopt+embed.p50_ms"]
    assert 0 <= values["shared@10.rank_bm25"] <= 1
    missing = str(report.config.get("left_out", ""))
    assert ("llama_index" in timed) != ("LlamaIndex is not installed" in missing)
    assert ("bm25s" in timed) != ("bm25s is not installed" in missing)


def test_reranking_is_measured_at_every_count_of_hits() -> None:
    """Each count has ordered percentiles, and there are as many hits as the index can give."""
    report = bench_rerank(TEXTS, encoders=words, questions=4)
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert all(0 < values[f"p50_ms@{hits}"] <= values[f"p95_ms@{hits}"] for hits in HITS)
    assert values["tokens@50"] > 50
    assert int(str(report.config["fewest_hits"])) >= 50


@dataclass
class Remembering:
    """A system that remembers what it was asked."""

    name: str
    asked: list[str]

    async def __call__(self, text: str, question: EncodedQuestion) -> list[str]:
        """Return the question."""
        self.asked.append(f"{self.name}: {text}")
        return [text]


def test_systems_take_turns_and_the_warm_up_is_not_counted() -> None:
    """Every system is asked every question, none always first; only those after the warm-up are timed."""
    asked: list[str] = []
    systems: dict[str, System] = {name: Remembering(name, asked) for name in ("a", "b")}
    questions = [f"question {n}" for n in range(WARM_UP + 2)]
    timings = asyncio.run(in_turns(systems, questions, WordEncoder(), seed=0))
    assert sorted(asked) == sorted(f"{name}: {text}" for name in systems for text in questions)
    assert {first[0] for first in asked[::2]} == {"a", "b"}
    assert timings["a"].first == timings["b"].first == [[text] for text in questions[WARM_UP:]]
    assert len(timings["a"].embed) == len(timings["a"].search) == 2


def test_what_is_compared_with_is_there_or_named() -> None:
    """Each of the three is a system or one line that names the extra, and rank_bm25 is always there."""
    recorder = RecordingEncoder(WordEncoder())
    asyncio.run(recorder.encode(["tea is hot", "ice is cold", "snow falls"]))
    systems, missing = other_systems(recorder)
    assert len(systems) + len(missing) == 3
    assert all("ragopt[bench]" in line for line in missing)
    question = asyncio.run(recorder.encode_question("cold ice"))
    assert asyncio.run(systems["rank_bm25"]("cold ice", question))[0] == "ice is cold"


def test_a_recorder_changes_nothing_and_keeps_the_vectors() -> None:
    """What comes back is the encoder's own, and each text is kept once with its dense vector."""
    encoder, batches = WordEncoder(), list[int]()
    recorder = RecordingEncoder(encoder)
    encoded = asyncio.run(recorder.encode(["b", "a", "b"], on_batch=batches.append))
    assert list(recorder.vectors) == ["b", "a"]
    assert np.array_equal(recorder.vectors["a"], encoded[1].dense)
    assert (recorder.tag, recorder.dim, batches) == (encoder.tag, encoder.dim, [3])


@pytest.mark.parametrize(
    ("chunks", "indexed_texts", "share"),
    [(["b"], ["title\nb", "title\nc"], 0.5), ([], ["a"], 0.0), (["a"], [], 0.0), (["a", "c"], ["t\na", "t\nc"], 1.0)],
)
def test_a_chunk_is_shared_where_its_text_is_indexed(chunks: list[str], indexed_texts: list[str], share: float) -> None:
    """A chunk is in another's result if a text there holds it, whatever stands above."""
    assert shared(chunks, indexed_texts) == share


@dataclass
class FakeNode:
    """A node of LlamaIndex."""

    text: str

    def get_content(self) -> str:
        """Return the text."""
        return self.text


@dataclass
class FakeScored:
    """A found node of LlamaIndex."""

    node: FakeNode


@dataclass
class FakeFusion:
    """A retriever that finds two texts and remembers the query."""

    queries: list[object] = field(default_factory=list)

    async def aretrieve(self, query: object) -> Sequence[FakeScored]:
        """Return two texts."""
        self.queries.append(query)
        return [FakeScored(FakeNode("first")), FakeScored(FakeNode("second"))]


def test_llama_index_gets_our_vector_with_the_question() -> None:
    """The query carries text and vector, and the texts come back in their order."""
    retriever = FakeFusion()
    question = asyncio.run(WordEncoder().encode_question("hot tea"))
    fusion = LlamaFusion(retriever, lambda query_str, *, embedding: (query_str, embedding))
    assert asyncio.run(fusion("hot tea", question)) == ["first", "second"]
    assert retriever.queries == [("hot tea", question.dense.tolist())]


@dataclass
class FakeTermIndex:
    """An index that ranks its texts from the last to the first."""

    size: int

    def retrieve(self, query: object, *, k: int, show_progress: bool) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the last `k` positions."""
        assert query == ["tea"]
        best = np.arange(self.size, dtype=np.int32)[::-1][:k]
        return best[None], np.ones((1, k), np.float32)


def test_bm25s_positions_become_texts() -> None:
    """Never more than there are, best first."""
    texts = ["a", "b", "c"]

    def tokenize(text: str, *, stopwords: str, stemmer: object, show_progress: bool) -> list[str]:
        return text.split()

    question = asyncio.run(WordEncoder().encode_question("tea"))
    for top_k, expected in ((2, ["c", "b"]), (50, ["c", "b", "a"])):
        system = BareBm25s(FakeTermIndex(3), tokenize, None, texts, top_k)
        assert asyncio.run(system("tea", question)) == expected
