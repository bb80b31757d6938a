"""`python -m eval planted`: answers with one citation fault each, through the checker as they would stream.

Every answer has two or three cited sentences over a context of several passages, from documents that the judge did not
learn from. In all but the controls one citation is spoiled: a wrong number or name, the number of another passage, a
number of no passage, or a claim that its own quote denies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from tqdm import tqdm

from eval.datasets import read_dataset
from eval.errors import DatasetError
from eval.intervals import Interval, bootstrap, exact
from eval.report import Report
from eval.support.edits import EDITS, Rng, digits_in, names_in, reworded
from eval.support.job import CitationsJob, opened_judge
from eval.support.pairs import MAX_WORDS, MIN_WORDS, drawn
from eval.support.parts import unseen_documents
from eval.support.sets import passage, passage_of_text
from indexes.records import Document
from ragopt.domain import Citation, Context, Passage, Question
from ragopt.evidence import words
from ragopt.providers.layout import Prompt
from ragopt.results import Cited, Prepared
from ragopt.stages.cite.checker import CitationChecking
from ragopt.telemetry import Trace

Fault: TypeAlias = Literal["number", "name", "swapped", "out_of_range", "wrong_claim", "none"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
# What spoils a claim so that its own quote denies it.
WRONG_CLAIMS = ("negation", "opposite", "swap")
PASSAGES, SENTENCES = 4, 3
SPLITS = 3


@dataclass(frozen=True, slots=True)
class Planted:
    """An answer with its fault. claims: of each sentence as it stands; spoiled: the place of the faulty one."""

    context: Context
    answer: str
    claims: tuple[str, ...]
    fault: Fault
    spoiled: int | None


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checker made of an answer: caught says whether the fault was seen, flagged which others were.

    offsets: how many spans or quotes were not what they say, and splits that gave something else.
    """

    planted: Planted
    caught: bool
    flagged: tuple[bool, ...]
    offsets: int


def measure(folders: Sequence[Path], job: CitationsJob, *, count: int) -> list[Report]:
    """Return one report per folder, `count` answers in all. Raises: `DatasetError`, `ModelUnavailable`."""
    each = -(-count // len(folders))
    return [report_of(folder.resolve().name, checked_answers(folder, job, count=each), job) for folder in folders]


def checked_answers(folder: Path, job: CitationsJob, *, count: int) -> list[Checked]:
    """Return the answers made from a folder's documents, checked."""
    documents = unseen_documents(read_dataset(folder))
    made = list(planted_answers(documents, count=count, seed=job.seed))
    if not made:
        raise DatasetError(f"{folder}: too few documents to plant faults in")
    return asyncio.run(checked_all(made, job))


def planted_answers(documents: Sequence[Document], *, count: int, seed: int) -> Iterator[Planted]:
    """Yield answers over neighbouring documents, the faults in turn."""
    rng = np.random.default_rng(seed)
    ordered = sorted(documents, key=lambda document: (document.title, document.id))
    names = [name for document in documents for name in names_in(document.text)[:4]]
    made = tries = 0
    while made < count and tries < 40 * count and len(ordered) >= PASSAGES:
        tries += 1
        start = int(rng.integers(len(ordered) - PASSAGES + 1))
        context = context_of(ordered[start : start + PASSAGES])
        if planted := spoiled(context, FAULTS[made % len(FAULTS)], rng=rng, names=names):
            made += 1
            yield planted


def context_of(documents: Sequence[Document]) -> Context:
    """Return a context whose passages are whole documents."""
    passages = tuple(
        passage(document.text, passage_of_text(document.text).units, n=n) for n, document in enumerate(documents, 1)
    )
    return Context("What is said?", "What is said?", 0, 0, passages, 1, "exhausted")


def spoiled(context: Context, fault: Fault, *, rng: Rng, names: Sequence[str]) -> Planted | None:
    """Return an answer over a context with one fault, None where its sentences do not lend themselves to it."""
    sentences = [(item, text) for item in context.passages for text in sentences_of(item)]
    if len(sentences) < SENTENCES:
        return None
    chosen = [sentences[at] for at in rng.permutation(len(sentences))[:SENTENCES].tolist()]
    cited = [(reworded(text, rng).rstrip(" ."), item.n) for item, text in chosen]
    if any(len(words(claim)) < MIN_WORDS // 2 for claim, _ in cited):
        return None
    place = int(rng.integers(SENTENCES))
    changed = faulty(*cited[place], fault=fault, context=context, rng=rng, names=names)
    if changed is None:
        return None
    cited[place] = changed
    answer = " ".join(f"{claim} [{n}]." for claim, n in cited)
    return Planted(context, answer, tuple(claim for claim, _ in cited), fault, place if fault != "none" else None)


def faulty(
    claim: str, n: int, *, fault: Fault, context: Context, rng: Rng, names: Sequence[str]
) -> tuple[str, int] | None:
    """Return a claim and its marker with the fault, None where the claim has nothing to spoil."""
    if fault == "none":
        return claim, n
    if fault == "out_of_range":
        return claim, len(context.passages) + 1 + int(rng.integers(9))
    if fault == "swapped":
        others = [item.n for item in context.passages if item.n != n]
        return claim, others[int(rng.integers(len(others)))]
    kinds = [fault] if fault != "wrong_claim" else rng.permutation(WRONG_CLAIMS).tolist()
    source = context.passages[n - 1].text
    known = {"number": digits_in(source), "name": [name for name in drawn(names, 12, rng) if name not in source]}
    for kind in kinds:
        changed = EDITS[kind](claim, rng, known.get(kind, []))
        if changed and changed != claim:
            return changed, n
    return None


def sentences_of(item: Passage) -> list[str]:
    """Return the sentences of a passage that can stand as a claim in an answer of one line."""
    texts = (item.source_text(*unit) for unit in item.units)
    return [
        text
        for text in texts
        if MIN_WORDS <= len(text.split()) <= MAX_WORDS and text.endswith(".") and text[0].isupper() and "[" not in text
        if "\n" not in text and not any(mark in text[:-1] for mark in (". ", "? ", "! ", "`"))
    ]


async def checked_all(made: Sequence[Planted], job: CitationsJob) -> list[Checked]:
    """Return the answers as they were checked."""
    judge = opened_judge(job)
    rng = np.random.default_rng(job.seed + 1)
    checking = CitationChecking(judge)
    found = [await checked(item, checking, rng) for item in tqdm(made, desc="check", unit="answer", mininterval=5)]
    await judge.close()
    return found


async def checked(item: Planted, checking: CitationChecking, rng: Rng) -> Checked:
    """Return what the checker makes of an answer in one piece, beside cuts drawn at random."""
    whole = await streamed(item, [item.answer], checking)
    again = [await streamed(item, cut(item.answer, rng), checking) for _ in range(SPLITS)]
    offsets = sum(other != whole for other in again) + misplaced(item, whole)
    by_claim = {whole.text[found.answer_start : found.answer_end]: found for found in whole.citations}
    right = [claim for at, claim in enumerate(item.claims) if at != item.spoiled]
    flagged = tuple(by_claim[claim].support == "unsupported" for claim in right if claim in by_claim)
    wrong = item.claims[item.spoiled] if item.spoiled is not None else None
    if item.fault == "out_of_range":
        caught = wrong not in by_claim and whole.text.count("[") == len(right)
    else:
        caught = wrong in by_claim and by_claim[wrong].support == "unsupported"
    return Checked(item, caught, flagged, offsets=offsets + len(right) - len(flagged))


async def streamed(item: Planted, deltas: Sequence[str], checking: CitationChecking) -> Cited:
    """Return an answer that came in deltas as the checker leaves it."""
    prepared = Prepared(Question(item.context.question, "planted"), item.context, Prompt((), version="planted"))
    checker = checking(prepared, trace=Trace("planted"))
    for delta in deltas:
        await checker.feed(delta)
    return (await checker.finish())[1]


def cut(text: str, rng: Rng) -> list[str]:
    """Return a text in pieces, cut at places drawn at random."""
    edges = [0, *sorted(rng.integers(0, len(text) + 1, int(rng.integers(1, 30))).tolist()), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


def misplaced(item: Planted, cited: Cited) -> int:
    """Return how many citations have a quote that is not what the document has there."""
    passages = {found.n: found for found in item.context.passages}
    return sum(not is_placed(found, passages[found.n]) for found in cited.citations)


def is_placed(found: Citation, source: Passage) -> bool:
    """Return whether a citation's quote is the document's text at its offsets, or it has none of either."""
    if found.quote is None or found.source_start is None or found.source_end is None:
        return found.quote is None and found.source_start is None and found.source_end is None
    return source.text[found.source_start : found.source_end] == found.quote


def report_of(name: str, answers: Sequence[Checked], job: CitationsJob) -> Report:
    """Return the share of each fault that was caught, of right citations that were flagged, and offset errors."""
    metrics: dict[str, Interval] = {}
    for fault in FAULTS[:-1]:
        caught = [answer.caught for answer in answers if answer.planted.fault == fault]
        if caught:
            metrics[f"caught.{fault}"] = bootstrap(caught, seed=job.seed)
    metrics["flagged.right"] = bootstrap([flag for answer in answers for flag in answer.flagged], seed=job.seed)
    wrong = sum(answer.offsets for answer in answers)
    metrics["offset_errors"] = exact(wrong)
    example = next((answer.planted.answer for answer in answers if answer.offsets), "")
    return Report(
        job="planted",
        set=name,
        n=len(answers),
        seed=job.seed,
        config={"judge": "lexical" if job.lexical else str(job.judge), "splits": SPLITS + 1},
        metrics=metrics,
        failures=(f"{wrong} offsets are wrong, as in: {example}",) if wrong else (),
    )
