"""`python -m eval fit-rewrite`: fits `ragopt/data/follow_up.json`, what ships, to turns that people rewrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eval.datasets import read_documents
from eval.errors import EvaluationError
from eval.intervals import exact
from eval.report import Report
from eval.rewrite.learning import fit_model, materials_of, rarity_of
from eval.rewrite.sets import RewriteSet, conversations, read_rewrite_set
from indexes.model import file_sha256
from ragopt.stages.rewrite.conversation import Rarity
from ragopt.stages.rewrite.selector import FollowUpModel, model_to_json

FOLDS = 4


@dataclass(frozen=True, slots=True)
class FitRewriteJob:
    """What to fit on: folders of rewritten turns, and a folder whose corpus says which words are common."""

    folders: tuple[Path, ...]
    words: Path
    seed: int = 0


def run(job: FitRewriteJob, out: Path) -> Report:
    """Fit, write `out`, and return what was fitted to. Raises: `EvaluationError`, `DatasetError`."""
    sets = [read_rewrite_set(folder) for folder in job.folders]
    rarity = rarity_of(document.text for _, document in read_documents(job.words))
    materials = [material for item in sets for material in materials_of(item.cases, rarity)]
    model = fit_model(materials, rarity, seed=job.seed)
    try:
        out.write_text(model_to_json(model, trained_on={item.name: item.digest for item in sets}) + "\n", "utf-8")
    except OSError as error:
        raise EvaluationError(f"{out}: {error}") from error
    numbers = model.selector.hidden.size + 2 * len(model.selector.output) + len(model.gate.weights) + 2
    return Report(
        job="fit-rewrite",
        set="+".join(item.name for item in sets),
        n=sum(len(item.cases) for item in materials),
        seed=job.seed,
        config={"out": str(out), "sha256": file_sha256(out), "words": job.words.resolve().name},
        metrics={
            "turns_that_lean": exact(sum(float(item.leans.sum()) for item in materials)),
            "candidates": exact(sum(len(item.rows) for item in materials)),
            "candidates_carried": exact(sum(float(item.carried.sum()) for item in materials)),
            "parameters": exact(numbers),
        },
    )


def unseen_models(
    measured: RewriteSet, others: Sequence[RewriteSet], *, rarity: Rarity, seed: int
) -> dict[str, FollowUpModel]:
    """Return for each conversation of a set a model that saw none of its turns, but the set's others and `others`."""
    own = materials_of(measured.cases, rarity)
    rest = [material for item in others for material in materials_of(item.cases, rarity)]
    names = conversations(measured.cases)
    found: dict[str, FollowUpModel] = {}
    for fold in range(FOLDS):
        left_out = frozenset(names[fold::FOLDS])
        if left_out:
            model = fit_model([*(part.without(left_out) for part in own), *rest], rarity, seed=seed)
            found |= dict.fromkeys(left_out, model)
    return found
