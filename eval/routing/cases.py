"""RAG questions with what came of them: is the gold answer in the packed context, and in the extractive answer.

The outcomes are recorded once per question through the serving pipeline. A strong model is simulated as one
that answers whatever its context holds, a cheap one as the extractive provider: quotes at no cost.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from tqdm import tqdm

from eval.corpus import TENANT, ingested
from eval.datasets import Dataset, Query, jsonl_file, rows_of
from eval.errors import DatasetError
from indexes.records import EncodedQuestion
from ragopt.domain import Context, Question
from ragopt.evidence import words
from ragopt.pipeline import Pipeline
from ragopt.providers.extractive import best_sentences, quoted
from ragopt.telemetry import Trace

Kind: TypeAlias = Literal["span", "prose"]

# Of a gold answer in whole sentences, this share of its distinct topic words must be there.
PROSE_SHARE = 0.5
WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Gold:
    """The answers that count as right: `span`s stand word for word in a text, `prose` by its words."""

    texts: tuple[str, ...]
    kind: Kind


@dataclass(frozen=True, slots=True)
class Recorded:
    """One question with its context and both outcomes. encoded: of the question."""

    id: str
    segment: str
    question: str
    context: Context
    encoded: EncodedQuestion
    in_context: bool
    in_extractive: bool


def gold_answers(folder: Path) -> dict[str, Gold]:
    """Return the gold answers by query id; a question without any is left out. Raises: `DatasetError`."""
    found: dict[str, Gold] = {}
    for row in rows_of(jsonl_file(folder, "answers")):
        if "conclusion" in row.fields:
            found[row.text("query_id")] = Gold((row.text("conclusion"),), "prose")
            continue
        answers = row.fields.get("answers")
        if not isinstance(answers, list):
            raise DatasetError(f"{row.place}: `answers` must be a list")
        spans = tuple(answer for answer in answers if isinstance(answer, str))
        prose = tuple(
            text for answer in answers if isinstance(answer, dict) and isinstance(text := answer.get("answer"), str)
        )
        if spans or prose:
            found[row.text("query_id")] = Gold(spans or prose, "span" if spans else "prose")
    return found


def holds(text: str, gold: Gold) -> bool:
    """Return whether `text` holds one of the gold answers: a span as whole words, prose by half of its topic words."""
    if gold.kind == "span":
        return any(plain(answer) in plain(text) for answer in gold.texts)
    there = set(words(text))
    return any(len(asked & there) >= PROSE_SHARE * len(asked) for asked in map(set, map(words, gold.texts)) if asked)


def plain(text: str) -> str:
    """Return the words of a text in lower case, a space before and after each: what contains it holds whole words."""
    return f" {' '.join(WORD.findall(text.casefold()))} "


def extractive_answer(context: Context) -> str:
    """Return what the extractive provider says to a context."""
    return " ".join(quoted(sentence) for sentence in best_sentences(context))


async def recorded(dataset: Dataset, gold: dict[str, Gold], *, queries: Sequence[Query]) -> list[Recorded]:
    """Return the outcome of every question of `queries` that has a gold answer, in order, with a progress bar."""
    async with ingested(dataset) as corpus:
        asked = [query for query in queries if query.id in gold]
        return [
            await record(
                corpus.pipeline,
                Question(query.text, TENANT, dataset.name, knobs=corpus.settings.knobs()),
                gold=gold[query.id],
                query=query,
            )
            for query in tqdm(asked, desc=f"ask {dataset.name}")
        ]


async def record(pipeline: Pipeline, question: Question, *, gold: Gold, query: Query) -> Recorded:
    """Return what came of one question."""
    context = await pipeline.context_for(question, trace=Trace(query.id))
    return Recorded(
        id=query.id,
        segment=query.segment,
        question=question.text,
        context=context,
        encoded=await pipeline.embed(context.standalone_question),
        in_context=holds("\n".join(passage.text for passage in context.passages), gold),
        in_extractive=holds(extractive_answer(context), gold),
    )
