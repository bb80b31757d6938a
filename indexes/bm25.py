"""Text to BM25 term weights: Qdrant's own encoder, the same for the embedded and the server index."""

from __future__ import annotations

from qdrant_edge import Bm25, Bm25Config
from qdrant_edge import SparseVector as Weights

from indexes.errors import InvalidText
from indexes.records import SparseVector

# Source: Robertson and Zaragoza, The Probabilistic Relevance Framework (2009), and Lucene's defaults.
K1 = 1.2
B = 0.75
# How fast a term that a question repeats saturates. Source: Manning, Raghavan, Schütze, "Introduction to Information
# Retrieval", 2008, section 11.4.3: 1.2 to 2. On cisi, whose questions are abstracts, nDCG@10 of BM25 is 0.37 with it,
# 0.32 without and 0.40 with the 7 of TREC's long queries, which costs scifact and chroma_chunking what this does not.
K3 = 2.0
# Terms that are left of 100 o200k_base tokens after stop words and stemming: the means of six English
# corpora (speech, chats, Wikipedia, science, finance) lie between 45.5 and 48.5.
AVG_TERMS = 47.0


class Bm25Encoder:
    """English words to weights: lower case, stop words left out, Snowball stems, term ids by hash.

    The IDF half of BM25 is the store's, which knows the collection; a weight here is the saturated,
    length-normalised term frequency. Safe to share between threads: the encoder keeps no state.
    """

    def __init__(self, *, k1: float = K1, b: float = B, avg_terms: float = AVG_TERMS) -> None:
        self._model = Bm25(Bm25Config(k=k1, b=b, avg_len=avg_terms))
        # A question is weighed as a document whose length does not count: (k3 + 1) tf / (k3 + tf).
        self._asking = Bm25(Bm25Config(k=K3, b=0.0, avg_len=avg_terms))

    def document(self, text: str) -> SparseVector:
        """Return the term weights of a chunk; no terms if the text has no words or stop words alone.

        Raises: `InvalidText` for a lone surrogate.
        """
        try:
            return frozen(self._model.embed_document(text))
        except UnicodeEncodeError as error:
            raise InvalidText(f"the text is not valid Unicode: {error.reason}") from error

    def question(self, text: str) -> SparseVector:
        """Return weight 1 for each term of a question, more for one it repeats, below 3; no terms as in `document`.

        Raises: `InvalidText` for a lone surrogate.
        """
        try:
            return frozen(self._asking.embed_document(text))
        except UnicodeEncodeError as error:
            raise InvalidText(f"the question is not valid Unicode: {error.reason}") from error


def frozen(weights: Weights) -> SparseVector:
    """Return the engine's vector as a value of ours."""
    return SparseVector(tuple(weights.indices), tuple(weights.values))
