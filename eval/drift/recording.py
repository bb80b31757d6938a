"""Real questions through the serving pipeline and through a vendor's default, and how good each context is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from eval.baseline import Asked, Sent, sent_by_baseline
from eval.context import sent_spans, wanted_spans
from eval.corpus import TENANT, Corpus, ingested
from eval.datasets import Dataset, Query
from eval.drift.correctness import Correctness, correctness_of, difficulties
from eval.drift.replay import Recorded
from eval.errors import DatasetError
from eval.metrics import overlap
from eval.routing.sets import RoutingSet, shipped_vectors
from ragopt.domain import Question, Tier
from ragopt.settings.routing import RoutingSettings
from ragopt.stages.route.difficulty import Difficulty, shipped_difficulty
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens


@dataclass(frozen=True, slots=True)
class Recorder:
    """What every question is recorded with."""

    corpus: Corpus
    dataset: Dataset
    scorer: Difficulty
    right: Correctness

    async def record(self, query: Query, theirs: Sent) -> Recorded:
        """Return one question with both contexts; `theirs` is the baseline's."""
        question = Question(query.text, TENANT, self.dataset.name, knobs=self.corpus.settings.knobs())
        context = await self.corpus.pipeline.context_for(question, trace=Trace(query.id))
        vector = (await self.corpus.pipeline.embed(query.text)).dense
        tier = tier_of(self.scorer.of_context(context, (), embedding=vector))
        hardness = self.scorer.general.log_odds(query.text, vector)
        held = overlap(sent_spans(context), wanted_spans(self.dataset.references[query.id])).recall()
        return Recorded(
            tokens=count_tokens(query.text),
            tier=tier,
            ours=context.tokens,
            theirs=theirs.tokens,
            quality_ours=held * self.right.of(tier, hardness),
            quality_theirs=theirs.overlap.recall() * self.right.of("complex", hardness),
        )


def tier_of(score: float) -> Tier:
    """Return the tier that a difficulty starts in by default."""
    thresholds = RoutingSettings()
    if score >= thresholds.complex_from:
        return "complex"
    return "medium" if score >= thresholds.medium_from else "simple"


async def recorded_of(dataset: Dataset, outcomes: RoutingSet, *, limit: int | None) -> list[Recorded]:
    """Return every question with reference spans, in order, with a progress bar.

    Raises: `DatasetError` if there is none, `EvaluationError`, `ModelUnavailable`.
    """
    queries = [query for query in dataset.queries if query.id in dataset.references][:limit]
    if not queries:
        raise DatasetError(f"{dataset.name}: no question has reference spans")
    scorer = shipped_difficulty()
    vectors = (await shipped_vectors(outcomes.texts)).astype(np.float32)
    right = correctness_of(outcomes, difficulties(scorer.general, outcomes.texts, vectors))
    async with ingested(dataset) as corpus:
        rows = await sent_by_baseline(
            await texts_of(corpus, dataset),
            [Asked(query.text, wanted_spans(dataset.references[query.id])) for query in queries],
            settings=corpus.settings,
        )
        better = max(rows.values(), key=lambda row: sum(item.overlap.recall() for item in row))
        recorder = Recorder(corpus, dataset, scorer, right)
        pairs = tqdm(list(zip(queries, better, strict=True)), desc=f"ask {dataset.name}")
        return [await recorder.record(query, theirs) for query, theirs in pairs]


async def texts_of(corpus: Corpus, dataset: Dataset) -> Mapping[str, str]:
    """Return the stored documents by id."""
    return {
        document.id: (await corpus.library.document(TENANT, dataset.name, document.id)).text
        for document in dataset.documents
    }
