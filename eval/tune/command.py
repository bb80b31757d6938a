"""`python -m eval tune`: from questions to a report, a plot and a knobs file."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from eval.errors import EvaluationError
from eval.rerank import reranker
from eval.tune.asking import IndexedAsk
from eval.tune.bound import tuned_bound
from eval.tune.choose import Rule
from eval.tune.knobs_file import knobs_toml
from eval.tune.meter import Meter
from eval.tune.outcome import Outcome, outcome_of
from eval.tune.plot import pareto_svg
from eval.tune.questions import Wanted, Workload, read_workload
from eval.tune.report import markdown
from eval.tune.search import Search
from eval.tune.space import SPACE, Dimension, Space, space_for
from eval.tune.tiers import tuned_tiers
from eval.tune.trials import TrialFile
from indexes.records import IndexKnobs
from ragopt.config import Settings, load_settings

INDEX_FOLDER = "index"


@dataclass(frozen=True, slots=True)
class TuneJob:
    """What to tune on, where to write, which loss `cost` may take (in [0, 1]), and what to search.

    answers: recorded answers of several models, for the tiers. pairs: labelled pairs of questions, for the error bound
    of the semantic cache; wrong_costs: right answers that one wrong one outweighs. None: those are left as they are.
    """

    wanted: Wanted
    out: Path
    tolerance: float = 0.02
    table: tuple[Dimension, ...] = SPACE
    answers: Path | None = None
    pairs: Path | None = None
    wrong_costs: float = 10.0


async def tune(job: TuneJob) -> Outcome:
    """Write `trials.jsonl`, `report.md`, `pareto.svg` and `knobs.toml` into the folder and return what was found.

    Trials that an earlier run with the same arguments finished are not repeated. The indexes lie under
    the folder until the search is complete. Raises: `EvaluationError`, `ConfigError`, `InvalidRequest`.
    """
    settings = load_settings()
    workload = read_workload(job.wanted, settings)
    space = space_for(settings, derived=workload.derived, table=job.table)
    rule = Rule(tolerance=job.tolerance, seed=job.wanted.seed)
    # Before the search, which takes minutes: a wrong file is told at once.
    tiers = tuned_tiers(job.answers, settings.models, settings.routing, rule=rule) if job.answers else None
    bound = await tuned_bound(job.pairs, wrong_costs=job.wrong_costs, seed=rule.seed) if job.pairs else None
    made_folder(job.out)
    trials = TrialFile(job.out / "trials.jsonl", run_of(workload, settings, space=space, seed=rule.seed))
    folder = job.out / INDEX_FOLDER
    with Meter(corpus_chars=sum(len(document.text) for document in workload.dataset.documents)) as meter:
        async with IndexedAsk(workload, settings, space=space, folder=folder, meter=meter) as ask:
            queries = workload.dataset.queries
            found = await Search(space, queries, ask=ask, trials=trials, meter=meter, rule=rule).run()
    outcome = replace(outcome_of(workload, settings, space=space, found=found, rule=rule), tiers=tiers, bound=bound)
    for name, text in (
        ("report.md", markdown(outcome)),
        ("pareto.svg", pareto_svg(outcome)),
        ("knobs.toml", knobs_toml(outcome)),
    ):
        (job.out / name).write_text(text, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    return outcome


def made_folder(path: Path) -> None:
    """Make the folder. Raises: `EvaluationError` if it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EvaluationError(f"--out: {error}") from error


def run_of(workload: Workload, settings: Settings, *, space: Space, seed: int) -> dict[str, object]:
    """Return what decides the trials: with another of these, those of an earlier run say nothing."""
    dataset = workload.dataset
    documents = [[item.id, item.title, item.text] for item in dataset.documents]
    answers = [
        [
            query.id,
            query.text,
            workload.relevant(query),
            [asdict(part) for part in dataset.references.get(query.id, ())],
        ]
        for query in dataset.queries
    ]
    knobs = asdict(settings.knobs()) | asdict(IndexKnobs(settings.chunk_tokens))
    return {
        "set": dataset.name,
        "questions": len(dataset.queries),
        "documents": len(dataset.documents),
        "seed": seed,
        "embedding_model": settings.embedding_model,
        "rerank_model": reranker(settings),
        "data": digest([documents, answers]),
        "configured": knobs,
        "candidates": digest([candidate.values for candidate in space.candidates()]),
    }


def digest(value: object) -> str:
    """Return 16 hex digits of a JSON value."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]
