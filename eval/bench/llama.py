"""The other side of the comparison: LlamaIndex's ingest and fusion retriever, and bare bm25s, over our chunks.

Both come with the extra `bench`; nothing here is imported unless it is measured.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from eval.errors import MissingExtra
from indexes.records import EncodedQuestion, FloatMatrix, FloatVector

INSTALL = "pip install 'ragopt[bench]'"
# LlamaIndex takes both lists as long as asked; ours are as long as what is kept, with this margin for ties.
MARGIN = 50
# Texts of one call of the model in LlamaIndex: as many as sentence-transformers takes by itself; its own 10 are slower.
BATCH_TEXTS = 32

# Texts to LlamaIndex's two indexes.
LlamaIngest: TypeAlias = Callable[[Sequence[str]], None]


class Node(Protocol):
    """A text in LlamaIndex."""

    def get_content(self) -> str:
        """Return the text."""


class ScoredNode(Protocol):
    """A text in LlamaIndex that was found."""

    node: Node


class FusionRetriever(Protocol):
    """What is used of LlamaIndex's retriever; a query is its `QueryBundle`."""

    async def aretrieve(self, query: object) -> Sequence[ScoredNode]:
        """Return what was found, best first."""


class Bundle(Protocol):
    """The constructor of LlamaIndex's `QueryBundle`."""

    def __call__(self, query_str: str, *, embedding: list[float]) -> object:
        """Return a question with its vector."""


class TermIndex(Protocol):
    """What is used of a bm25s index."""

    def retrieve(self, query: object, *, k: int, show_progress: bool) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the positions and scores [1, k] of the best texts for one tokenised question."""


class Tokenize(Protocol):
    """What is used of bm25s' tokeniser."""

    def __call__(self, text: str, *, stopwords: str, stemmer: object, show_progress: bool) -> object:
        """Return the tokens of a text."""


@dataclass(frozen=True, slots=True)
class LlamaFusion:
    """Dense and BM25 in LlamaIndex, fused by reciprocal ranks, over its in-memory stores.

    A query carries our question's vector: LlamaIndex never embeds, so both sides search with the same.
    """

    retriever: FusionRetriever
    bundle: Bundle

    async def __call__(self, text: str, question: EncodedQuestion) -> list[str]:
        """Return the texts found, best first."""
        found = await self.retriever.aretrieve(self.bundle(text, embedding=question.dense.tolist()))
        return [item.node.get_content() for item in found]


@dataclass(frozen=True, slots=True)
class BareBm25s:
    """A bm25s index and nothing around it."""

    index: TermIndex
    tokenize: Tokenize
    stemmer: object
    texts: Sequence[str]
    top_k: int

    async def __call__(self, text: str, question: EncodedQuestion) -> list[str]:  # noqa: ARG002 - terms are enough
        """Return the texts found, best first."""
        tokens = self.tokenize(text, stopwords="en", stemmer=self.stemmer, show_progress=False)
        positions, _ = self.index.retrieve(tokens, k=min(self.top_k, len(self.texts)), show_progress=False)
        return [self.texts[int(at)] for at in positions[0]]


def llama_fusion(vectors: Mapping[str, FloatVector], *, top_k: int) -> LlamaFusion:
    """Return LlamaIndex over the texts and their vectors; nothing of it needs a network.

    Raises: `MissingExtra`.
    """
    try:
        from llama_index.core import VectorStoreIndex
        from llama_index.core.embeddings import MockEmbedding
        from llama_index.core.llms import MockLLM
        from llama_index.core.retrievers import QueryFusionRetriever
        from llama_index.core.retrievers.fusion_retriever import FUSION_MODES
        from llama_index.core.schema import QueryBundle, TextNode
        from llama_index.retrievers.bm25 import BM25Retriever
    except ImportError as error:
        raise MissingExtra(f"LlamaIndex is not installed: {INSTALL}") from error
    nodes = [
        TextNode(id_=str(n), text=text, embedding=vector.tolist()) for n, (text, vector) in enumerate(vectors.items())
    ]
    dim = len(next(iter(vectors.values())))
    # Every node and every question brings its vector; without a model given, LlamaIndex would ask for a hosted one.
    index = VectorStoreIndex(nodes, embed_model=MockEmbedding(embed_dim=dim))
    depth = min(top_k + MARGIN, len(nodes))
    retrievers = [
        index.as_retriever(similarity_top_k=depth),
        BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=depth),
    ]
    fusion = QueryFusionRetriever(
        retrievers, llm=MockLLM(), mode=FUSION_MODES.RECIPROCAL_RANK, similarity_top_k=top_k, num_queries=1
    )
    return LlamaFusion(fusion, QueryBundle)


def llama_ingest(encode: Callable[[Sequence[str]], FloatMatrix]) -> LlamaIngest:
    """Return LlamaIndex's way from texts to its in-memory vector store and its BM25 index. encode: texts to vectors.

    Raises: `MissingExtra`.
    """
    try:
        from llama_index.core import VectorStoreIndex
        from llama_index.core.base.embeddings.base import BaseEmbedding
        from llama_index.core.schema import TextNode
        from llama_index.retrievers.bm25 import BM25Retriever
    except ImportError as error:
        raise MissingExtra(f"LlamaIndex is not installed: {INSTALL}") from error

    class Encoder(BaseEmbedding):  # type: ignore[misc]
        """The model as LlamaIndex calls it."""

        def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
            found: list[list[float]] = encode(texts).tolist()
            return found

        def _get_text_embedding(self, text: str) -> list[float]:
            return self._get_text_embeddings([text])[0]

        def _get_query_embedding(self, query: str) -> list[float]:
            return self._get_text_embeddings([query])[0]

        async def _aget_query_embedding(self, query: str) -> list[float]:
            return self._get_query_embedding(query)

    embed_model = Encoder(embed_batch_size=BATCH_TEXTS)

    def ingest(texts: Sequence[str]) -> None:
        nodes = [TextNode(id_=str(n), text=text) for n, text in enumerate(texts)]
        VectorStoreIndex(nodes, embed_model=embed_model)
        BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=1)

    return ingest


def bare_bm25s(texts: Sequence[str], *, top_k: int) -> BareBm25s:
    """Return a bm25s index over the texts, with the stop words and stems that LlamaIndex gives it.

    Raises: `MissingExtra`.
    """
    try:
        import bm25s
        import Stemmer
    except ImportError as error:
        raise MissingExtra(f"bm25s is not installed: {INSTALL}") from error
    stemmer = Stemmer.Stemmer("english")
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)
    return BareBm25s(index, bm25s.tokenize, stemmer, texts, top_k)
