"""Which part of a set the shipped judge learned from, and which is for measuring."""

from __future__ import annotations

import hashlib

import numpy as np

from eval.datasets import Dataset
from eval.errors import DatasetError
from eval.support.sets import ClaimCase, ClaimSet
from indexes.records import Document

# The part of a set that may be trained on, by the name of its split; the other part is what `citations` measures.
TRAINED_SPLITS = {"wice": "dev", "scifact_claims": "train"}
# Of the claims made from documents, what each set gives.
MADE_SHARES = {"squad_xquad": 0.6, "pubmedqa": 0.25, "clapnq": 0.15}


def training_cases(dataset: ClaimSet) -> list[ClaimCase]:
    """Return the part of a set that may be learned from. Raises: `DatasetError` if the set is for measuring alone."""
    split = TRAINED_SPLITS.get(dataset.name)
    if split is None:
        raise DatasetError(f"{dataset.name} is for measuring; known for training are {', '.join(TRAINED_SPLITS)}")
    return [case for case in dataset.cases if case.split == split]


def held_out(dataset: ClaimSet) -> list[ClaimCase]:
    """Return the part of a set that nothing shipped was learned from: all of it where no part was."""
    split = TRAINED_SPLITS.get(dataset.name)
    return [case for case in dataset.cases if split is None or case.split != split]


def tenth(case: ClaimCase) -> int:
    """Return in which of ten parts a case is, the same for every claim beside one context."""
    return int(hashlib.sha256(case.passage.text.encode()).hexdigest(), 16) % 10


def free_documents(dataset: Dataset) -> list[Document]:
    """Return the documents of a set that are learned from, in a drawn order: of most that no question is about them."""
    judged = {document for grades in dataset.qrels.values() for document in grades}
    free = [document for document in dataset.documents if document.id not in judged]
    chosen = free if len(free) > len(dataset.documents) // 2 else list(dataset.documents)
    order = np.random.default_rng(0).permutation(len(chosen)).tolist()
    return [chosen[at] for at in order]


def unseen_documents(dataset: Dataset) -> list[Document]:
    """Return the documents of a set that nothing shipped was learned from.

    Of those of `MADE_SHARES` the ones that questions are about, where most documents are not. Raises: `DatasetError`.
    """
    judged = {document for grades in dataset.qrels.values() for document in grades}
    if dataset.name not in MADE_SHARES:
        return list(dataset.documents)
    if len(judged) > len(dataset.documents) // 2:
        raise DatasetError(f"{dataset.name}: all of it was learned from; name another set")
    return [document for document in dataset.documents if document.id in judged]
