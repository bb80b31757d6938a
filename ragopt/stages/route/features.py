"""What a question and its evidence say about how hard it is to answer: named numbers, no model."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean, pstdev
from types import MappingProxyType

from ragopt.domain import Context, Passage, Turn
from ragopt.evidence import overlap, words

TOKEN = re.compile(r"\w+|[^\w\s]")
NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
PATTERNS: Mapping[str, re.Pattern[str]] = MappingProxyType(
    {
        name: re.compile(pattern, re.IGNORECASE)
        for name, pattern in {
            "maths": r"[=^√∫Σ≤≥±%]|\\[a-z]+|\b(?:calculate|compute|solve|equation|sum|average|percent\w*|probability|"
            r"derivative|integral|matrix|ratio|per|total)\b",
            "code": r"[{}`]|\b\w+\(\w*\)|\b(?:def|function|class|algorithm|python|java|sql|pseudocode|array|loop)\b",
            "comparison": r"\b(?:than|compar\w+|differ\w*|versus|vs|between|both|similar\w*|contrast|better|worse|"
            r"more|less|higher|lower|largest|smallest)\b",
            "negation": r"\b(?:not|except|false|never|incorrect|neither|nor|without|least|cannot|no)\b",
            "reason": r"\b(?:why|explain|because|cause[sd]?|reason|effects?|impact|imply|implies|therefore|infer\w*)\b",
            "hypothesis": r"\b(?:if|suppose|assum\w+|would|could|should|hypothe\w+|given that|according)\b",
            "several": r"\b(?:and|or|each|all|list|respectively|statements?)\b|;|\bI{1,3}\b|\b[A-D1-4][.)]\s",
            "hops": r"\b(?:who|which|that|whose|where|of)\b",
            "amount": r"\bhow (?:many|much|long|far|old|often|high|large)\b|\bwhat (?:number|percent\w*|year|amount)\b",
            "fact": r"\b(?:who|when|where|in what year|which name)\b",
            "yes_or_no": r"^\W*(?:is|are|was|were|do|does|did|can|could|has|have|should|will)\b",
            "manner": r"^\W*how (?!many|much|long|far|old|often)",
        }.items()
    }
)
QUESTION_FEATURES = (
    "log_words",
    "word_length",
    "sentences",
    "numbers",
    "capitals",
    "quotes",
    "topic_words",
    *PATTERNS,
)
EVIDENCE_FEATURES = (
    "coverage",
    "best_passage_coverage",
    "best_sentence_coverage",
    "uncovered_words",
    "best_similarity",
    "mean_similarity",
    "similarity_gap",
    "similarity_spread",
    "passages",
    "documents",
    "top_document_share",
    "agreement",
    "budget_share",
    "stopped_by_budget",
    "stopped_by_relevance",
    "numbers_in_evidence",
    "turns",
)


def question_features(text: str) -> dict[str, float]:
    """Return `QUESTION_FEATURES` of a question; counts as log(1 + n), so that a long text is not another kind."""
    tokens = TOKEN.findall(text)
    letters = [token for token in tokens if token[0].isalpha()]
    counted = {name: math.log1p(len(pattern.findall(text))) for name, pattern in PATTERNS.items()}
    return {
        "log_words": math.log1p(len(letters)),
        "word_length": fmean(map(len, letters)) if letters else 0.0,
        "sentences": math.log1p(len(SENTENCE_END.findall(text))),
        "numbers": math.log1p(len(NUMBER.findall(text))),
        "capitals": sum(token[0].isupper() for token in letters) / len(letters) if letters else 0.0,
        "quotes": math.log1p(text.count('"') + text.count("“")),
        "topic_words": math.log1p(len(set(words(text)))),
        **counted,
    }


def evidence_features(context: Context, history: Sequence[Turn]) -> dict[str, float]:
    """Return `EVIDENCE_FEATURES` of a packed context: how well it covers the question, and how much it agrees.

    Without passages nothing is covered; unknown similarities count as 0.
    """
    question, passages = context.standalone_question, context.passages
    per_passage = [overlap(question, item.text) for item in passages]
    asked = set(words(question))
    covered = asked & {word for item in passages for word in words(item.text)}
    alike = context.similarities or (0.0,)
    documents = [item.document_id for item in passages]
    return {
        "coverage": len(covered) / len(asked) if asked else 0.0,
        "best_passage_coverage": max(per_passage, default=0.0),
        "best_sentence_coverage": max((overlap(question, text) for text in sentences(passages)), default=0.0),
        "uncovered_words": math.log1p(len(asked - covered)),
        "best_similarity": alike[0],
        "mean_similarity": fmean(alike),
        "similarity_gap": alike[0] - alike[min(1, len(alike) - 1)],
        "similarity_spread": pstdev(alike),
        "passages": math.log1p(len(passages)),
        "documents": math.log1p(len(set(documents))),
        "top_document_share": documents.count(documents[0]) / len(documents) if documents else 0.0,
        "agreement": agreement(passages),
        "budget_share": context.tokens / context.token_budget,
        "stopped_by_budget": float(context.stopped_by in {"budget", "price_edge"}),
        "stopped_by_relevance": float(context.stopped_by == "relevance"),
        "numbers_in_evidence": math.log1p(sum(len(NUMBER.findall(item.text)) for item in passages)),
        "turns": math.log1p(len(history)),
    }


def sentences(passages: Sequence[Passage]) -> list[str]:
    """Return the sentences of the passages, in order."""
    return [item.source_text(*unit) for item in passages for unit in item.units]


def agreement(passages: Sequence[Passage]) -> float:
    """Return how alike the first passages are: the mean Jaccard index of their topic words in [0, 1]; 1 for one."""
    spoken = [set(words(item.text)) for item in passages[:5]]
    pairs = [len(a & b) / len(a | b) for a, b in combinations(spoken, 2) if a | b]
    return fmean(pairs) if pairs else 1.0
