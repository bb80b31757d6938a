"""`python -m eval fit-tokens --compare DIR`: which way of squeezing token vectors keeps late interaction sharpest.

For each way: the 50 chunks nearest to a question are ordered by MaxSim alone, and whole chunks fill
the budget. A set without spans has its relevant documents, whole, as reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from eval.datasets import Dataset, Query, Reference, read_dataset, read_documents
from eval.errors import DatasetError
from eval.fit_tokens import FitJob, TokenVectors, load_token_vectors, sampled
from eval.intervals import Interval, bootstrap, paired_difference
from eval.metrics import overlap
from eval.report import Report
from eval.token_fit import inverse_frequencies, itq_rotation, principal_axes, random_rotation
from indexes.chunking import chunk_text
from indexes.records import FloatMatrix, FloatVector, IndexKnobs, Span
from indexes.tokens import BITS, unit_rows
from ragopt.tokens import count_tokens_batch

FULL = "full"
CANDIDATES = 50
BUDGETS = (200, 400, 800)
# Vectors that ITQ turns: its result no longer moves beyond, its time grows.
ITQ_VECTORS = 60_000

# float32 [n, hidden] of token vectors to float32 [n, k]; dot products of the results stand for cosines.
Map: TypeAlias = Callable[[FloatMatrix], FloatMatrix]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to squeeze: what the question's token vectors become, and what a document's do."""

    question: Map
    document: Map


@dataclass(frozen=True, slots=True)
class Piece:
    """A chunk of a document: where it lies, its size in o200k_base tokens, and its token vectors."""

    document_id: str
    span: Span
    tokens: int
    vectors: FloatMatrix


@dataclass(frozen=True, slots=True)
class Case:
    """A question with its token vectors, their weights, its nearest pieces and its reference spans."""

    vectors: FloatMatrix
    weights: FloatVector
    pieces: tuple[Piece, ...]
    reference: Mapping[str, Sequence[Span]]


def compare(job: FitJob, folders: Sequence[Path]) -> list[Report]:
    """Return a report per folder: recall per budget and way, and how each way agrees with full precision.

    The ways are fitted to the sample that `fit-tokens` fits to. Raises: `DatasetError`.
    """
    corpora = [[document.text for _, document in read_documents(folder)] for folder in job.folders]
    model, _ = load_token_vectors()
    sample = np.concatenate([tokens for _, tokens, _ in model.of(sampled(corpora, texts=job.texts, seed=job.seed))])
    counted = (text for corpus in corpora for text in corpus)
    idf = inverse_frequencies(model.ids(list(counted)), vocabulary=model.vocabulary)
    ways = dict(variants(sample, seed=job.seed))
    return [compared(read_dataset(folder), ways, model=model, idf=idf, seed=job.seed) for folder in folders]


def variants(sample: FloatMatrix, *, seed: int) -> Iterator[tuple[str, Variant]]:
    """Yield every way by name, full precision first; fitted to float32 [n, hidden]."""
    yield FULL, Variant(unit_rows, unit_rows)
    for name, centred in (("", False), ("-centred", True)):
        axes = principal_axes(sample, bits=BITS, centred=centred)
        plain = projection(axes.matrix, axes.mean)
        yield f"pca{name}-float", Variant(plain, plain)
        picked = np.random.default_rng(seed).permutation(len(sample))[:ITQ_VECTORS]
        rotations = {
            "pca": np.eye(BITS, dtype=np.float32),
            "pca+random": random_rotation(BITS, seed=seed),
            "pca+itq": itq_rotation(plain(sample[picked]), seed=seed),
        }
        for rotated, rotation in rotations.items():
            turned = projection(axes.matrix @ rotation, axes.mean)
            yield f"{rotated}{name}-bits", Variant(turned, signs_of(turned))


def projection(matrix: FloatMatrix, mean: FloatVector) -> Map:
    """Return the map to unit rows of (vectors - mean) @ matrix."""
    return lambda vectors: unit_rows(np.asarray((vectors - mean) @ matrix, np.float32))


def signs_of(inner: Map) -> Map:
    """Return the map to the signs of another's result, scaled to unit length."""
    return lambda vectors: np.where(inner(vectors) > 0, 1, -1).astype(np.float32) / np.float32(np.sqrt(BITS))


def compared(
    dataset: Dataset, ways: Mapping[str, Variant], *, model: TokenVectors, idf: FloatVector, seed: int
) -> Report:
    """Return the report of one set; `change` is recall minus that of full precision, question by question."""
    cases = list(cases_of(dataset, model=model, idf=idf))
    metrics: dict[str, Interval] = {}
    full = [late_scores(case, ways[FULL]) for case in cases]
    for name, way in ways.items():
        scores = [late_scores(case, way) for case in cases]
        agreement = [float(np.corrcoef(mine, best)[0, 1]) for mine, best in zip(scores, full, strict=True)]
        metrics[f"agreement.{name}"] = bootstrap(np.nan_to_num(agreement).tolist(), seed=seed)
        for budget in BUDGETS:
            recalls = recalls_at(cases, scores, budget)
            metrics[f"recall@{budget}.{name}"] = bootstrap(recalls, seed=seed)
            change = paired_difference(recalls, recalls_at(cases, full, budget), seed=seed)
            metrics[f"change@{budget}.{name}"] = change
    config = {"bits": BITS, "candidates": CANDIDATES}
    return Report(job="fit-tokens", set=dataset.name, n=len(cases), seed=seed, config=config, metrics=metrics)


def cases_of(dataset: Dataset, *, model: TokenVectors, idf: FloatVector) -> Iterator[Case]:
    """Yield a case for each question that has a reference. Raises: `DatasetError` if none has."""
    asked = [(query, spans) for query in dataset.queries if (spans := reference_of(dataset, query))]
    if not asked:
        raise DatasetError(f"{dataset.name}: no question has spans or relevant documents")
    pieces, dense = embedded_pieces(dataset, model)
    texts = [query.text for query, _ in asked]
    ids = list(model.ids(texts))
    for at, vectors, vector in model.of(texts):
        nearest = np.argsort(-(dense @ vector), kind="stable")[:CANDIDATES]
        # A question is cut at the model's length: weights of what is left.
        raw = idf[ids[at]][: len(vectors)]
        weights = raw / max(float(raw.sum()), 1e-9)
        yield Case(vectors, weights, tuple(pieces[place] for place in nearest), asked[at][1])


def reference_of(dataset: Dataset, query: Query) -> dict[str, list[Span]]:
    """Return the spans that answer a query by document: those of the set, else its relevant documents whole."""
    ends = {document.id: len(document.text) for document in dataset.documents}
    relevant = [name for name, grade in dataset.qrels.get(query.id, {}).items() if grade > 0 and name in ends]
    whole = tuple(Reference(name, 0, ends[name]) for name in relevant)
    grouped: dict[str, list[Span]] = {}
    for part in dataset.references.get(query.id, whole):
        grouped.setdefault(part.document_id, []).append((part.start, part.end))
    return grouped


def embedded_pieces(dataset: Dataset, model: TokenVectors) -> tuple[list[Piece], FloatMatrix]:
    """Return the chunks of every document, and their dense vectors float32 [n, dim] in the same order."""
    places: list[tuple[str, Span]] = []
    texts: list[str] = []
    for document in dataset.documents:
        for chunk in chunk_text(document.text, IndexKnobs(), count_tokens=count_tokens_batch):
            places.append((document.id, (chunk.start, chunk.end)))
            texts.append(document.text[chunk.start : chunk.end])
    sizes = count_tokens_batch(texts)
    embedded = sorted(model.of(texts), key=lambda row: row[0])
    pieces = [Piece(*places[at], sizes[at], vectors) for at, vectors, _ in embedded]
    return pieces, np.stack([dense for _, _, dense in embedded])


def late_scores(case: Case, way: Variant) -> NDArray[np.float64]:
    """Return MaxSim of each of a case's pieces, float64 [n], the question's tokens by their weights."""
    question = way.question(case.vectors)
    best = [(question @ way.document(piece.vectors).T).max(axis=1, initial=-1.0) for piece in case.pieces]
    return np.asarray([float(case.weights @ column) for column in best], np.float64)


def recalls_at(cases: Sequence[Case], scores: Sequence[NDArray[np.float64]], budget: int) -> list[float]:
    """Return the recall of each case at a budget, its pieces ordered by its scores."""
    return [recall_at(case, score, budget) for case, score in zip(cases, scores, strict=True)]


def recall_at(case: Case, scores: NDArray[np.float64], budget: int) -> float:
    """Return the recall of the best pieces that fit `budget` tokens, each taken whole if there is room."""
    sent: dict[str, list[Span]] = {}
    left = budget
    for at in np.argsort(-scores, kind="stable"):
        piece = case.pieces[at]
        if piece.tokens <= left:
            left -= piece.tokens
            sent.setdefault(piece.document_id, []).append(piece.span)
    return overlap(sent, case.reference).recall()
