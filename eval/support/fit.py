"""`python -m eval fit-support`: trains the judge of claims and fits its calibration, what ships in `ragopt/data`.

The network learns from pairs of evidence and claim; the calibration weighs its logit beside the features of claims that
the network has not seen.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from eval.cache.sets import read_question_set
from eval.datasets import digest_of, jsonl_in, read_dataset
from eval.errors import EvaluationError
from eval.intervals import exact
from eval.pairs.export import export
from eval.pairs.network import new_network
from eval.pairs.training import train
from eval.pairs.values import Pair, Recipe
from eval.report import Report
from eval.support.answered import answered_pairs
from eval.support.calibrate import calibration_json, fitted
from eval.support.pairs import labelled_pairs, made_cases, made_pairs
from eval.support.parts import MADE_SHARES, free_documents, tenth, training_cases
from eval.support.rows import ClaimRow, rows_of_cases
from eval.support.sets import ClaimCase, claims_file, read_claim_set
from eval.support.worded import concluded_pairs, question_pairs
from indexes.pair_model import PairModel
from ragopt.config import cache_dir
from ragopt.stages.cite.calibration import CALIBRATION

# Of ten parts of the labelled claims, those that the network learns from; the others calibrate it.
NETWORK_TENTHS = range(6)
LONGEST_PAIR_WORDS = 90
CALIBRATION_MADE = 250
# Whose answers may be learned from: those of SQuAD's questions may not.
ANSWERS_LEARNED_FROM = frozenset({"clapnq", "pubmedqa"})

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FitSupportJob:
    """What to fit on: folders of labelled claims, of documents and answers, and of question pairs.

    made: pairs made from documents. without: sets that nothing is learned from, for measuring on them. network: a
    folder with a trained one, whose calibration alone is fitted anew.
    """

    folders: tuple[Path, ...]
    made: int = 3_000
    without: tuple[str, ...] = ()
    network: Path | None = None
    epochs: int = 2
    frozen_layers: int = 2
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Material:
    """What is learned from: pairs for the network, cases for the calibration, digests of the sets by name."""

    pairs: Sequence[Pair]
    labelled: Sequence[ClaimCase]
    made: Sequence[ClaimCase]
    trained_on: Mapping[str, str]


def run(job: FitSupportJob, out: Path) -> Report:
    """Fit, write the model and its calibration into `out`, and return what was fitted to. Raises: `EvaluationError`."""
    material = gathered(job)
    trained = job.network or trained_network(material, job, out)
    model = PairModel.load(trained, cache_folder=cache_dir())
    labelled, made = rows_of_cases(material.labelled, model), rows_of_cases(material.made, model)
    calibrated(labelled, made, out)
    return Report(
        job="fit-support",
        set="+".join(sorted(material.trained_on)),
        n=len(material.pairs),
        seed=job.seed,
        config={"out": str(out), "tag": model.card.tag, "without": ",".join(job.without) or None},
        metrics={"pairs": exact(len(material.pairs)), "calibrated_on": exact(len(labelled) + len(made))},
    )


def calibrated(labelled: Sequence[ClaimRow], made: Sequence[ClaimRow], out: Path) -> None:
    """Fit both calibrations and write them. Raises: `EvaluationError` if the file cannot be written."""
    text = calibration_json(judged=fitted(labelled, made, judged=True), lexical=fitted(labelled, made, judged=False))
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / CALIBRATION).write_text(text, encoding="utf-8")
    except OSError as error:
        raise EvaluationError(f"{out}: {error}") from error


def gathered(job: FitSupportJob) -> Material:
    """Return what is learned from. Raises: `DatasetError`."""
    pairs: list[Pair] = []
    labelled: list[ClaimCase] = []
    made: list[ClaimCase] = []
    trained_on: dict[str, str] = {}
    for folder in job.folders:
        name = folder.resolve().name
        if name in job.without:
            continue
        if is_claim_set(folder):
            claims = read_claim_set(folder)
            cases = training_cases(claims)
            pairs += labelled_pairs([case for case in cases if tenth(case) in NETWORK_TENTHS], source=name)
            labelled += [case for case in cases if tenth(case) not in NETWORK_TENTHS]
            trained_on[name] = claims.digest
            continue
        if is_question_set(folder):
            questions = read_question_set(folder)
            pairs += question_pairs(questions, seed=job.seed)
            trained_on[name] = questions.digest
            continue
        dataset = read_dataset(folder)
        documents = free_documents(dataset)
        half = len(documents) // 2
        count = round(job.made * MADE_SHARES.get(name, 0.2))
        pairs += made_pairs(documents[:half], count=count, source=name, seed=job.seed)
        made += made_cases(documents[half:], count=CALIBRATION_MADE, source=name, seed=job.seed)
        if name in ANSWERS_LEARNED_FROM:
            pairs += answered_pairs(folder, seed=job.seed)
            pairs += concluded_pairs(dataset, folder, seed=job.seed)
        trained_on[name] = digest_of(dataset)
    short = [pair for pair in pairs if len(pair.a.split()) + len(pair.b.split()) <= LONGEST_PAIR_WORDS]
    return Material(balanced(short), labelled, made, trained_on)


def is_claim_set(folder: Path) -> bool:
    """Return whether a folder holds labelled claims rather than documents."""
    return jsonl_in(folder, "corpus") is None and not is_question_set(folder) and bool(claims_file(folder))


def is_question_set(folder: Path) -> bool:
    """Return whether a folder holds pairs of questions."""
    return jsonl_in(folder, "pairs") is not None


def balanced(pairs: Sequence[Pair]) -> list[Pair]:
    """Return the pairs with weights such that both labels weigh the same, 1 on average."""
    totals = {label: sum(pair.weight for pair in pairs if pair.label == label) for label in (0, 1)}
    return [replace(pair, weight=pair.weight * len(pairs) / (2 * totals[pair.label])) for pair in pairs]


def trained_network(material: Material, job: FitSupportJob, out: Path) -> Path:
    """Train the network, write it into `out` and return that. Raises: `EvaluationError`."""
    recipe = Recipe(
        ("carried",), epochs=job.epochs, frozen_layers=job.frozen_layers, max_tokens=160, seed=job.seed, threads=2
    )
    network = new_network(labels=1, frozen_layers=job.frozen_layers, seed=job.seed)
    logger.info("training on %d pairs", len(material.pairs))
    trained = train(network, material.pairs, [], recipe=recipe)
    export(trained.network, out, recipe=recipe, trained_on=material.trained_on)
    return out
