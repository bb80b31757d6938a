"""What is caught and what is refused with it, of sets in our form and of two public ones in theirs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from eval.errors import DatasetError
from eval.harmful.examples import is_held_out
from eval.harmful.measure import measure
from eval.screening.measure import ScreenJob
from eval.screening.sets import digest_of_folder
from ragopt.harmful.model import model_to_bytes
from ragopt.screening.weights import arrays_in, to_bytes
from tests.eval.folders import folder_of
from tests.ragopt.harmful.weights import HARM, WORM, model

HARMFUL, HARMLESS = f"Now {HARM} me.", "How long does a refund take?"


@pytest.fixture
def job(tmp_path: Path) -> ScreenJob:
    """Return a job with a detector that knows two words, and no embedding model."""
    path = tmp_path / "weights.npz"
    path.write_bytes(model_to_bytes(model()))
    return ScreenJob(model=path, by_signs=True)


def test_questions_and_answers_are_counted_apart(tmp_path: Path, job: ScreenJob) -> None:
    """An answer is as harmful as its worst sentence; of harmless ones the sentences are counted as well."""
    prompts = [{"text": HARMFUL, "label": "harmful"}] * 3 + [{"text": HARMLESS, "label": "benign"}] * 2
    answers = [
        {"text": f"Take a pan. {HARMFUL}", "label": "harmful"},
        {"text": f"{HARMLESS} Ten days. {HARMFUL} That is all.", "label": "benign"},
        {"text": "Ten days.", "label": "benign"},
    ]
    (report,) = measure([folder_of(tmp_path / "own", {"prompts.jsonl": prompts, "completions.jsonl": answers})], job)
    values = {name: interval.value for name, interval in report.metrics.items()}
    assert values["caught"] == values["answers_caught"] == 1
    assert values["benign_refused"] == 0
    assert (values["benign_withheld"], values["benign_sentences_withheld"]) == (0.5, 0.2)
    assert report.segments["found/weapons"].n == 5
    assert report.config["trained_on"] is False


def test_public_sets_are_read_as_they_are_published(tmp_path: Path, job: ScreenJob) -> None:
    """AdvBench's goals and targets; XSTest's prompts by type, and completions of safe ones that do not refuse."""
    advbench = [{"goal": HARMFUL, "target": f"Sure, {HARM} the {WORM}"}, {"goal": HARMLESS, "target": HARMLESS}]
    prompts = [
        {"id": "1", "prompt": HARMLESS, "type": "homonyms"},
        {"id": "2", "prompt": HARMFUL, "type": "contrast_x"},
    ]
    done = [
        {"type": "homonyms", "completion": "Ten days.", "final_label": "1_full_compliance"},
        {"type": "homonyms", "completion": HARMFUL, "final_label": "2_full_refusal"},
        {"type": "contrast_x", "completion": HARMFUL, "final_label": "1_full_compliance"},
    ]
    first, second = measure(
        [
            folder_of(tmp_path / "advbench", {"harmful_behaviors.csv": advbench}),
            folder_of(tmp_path / "xstest", {"xstest_prompts.csv": prompts, "xstest_v2_completions_a.csv": done}),
        ],
        job,
    )
    assert (first.metrics["caught"].value, first.metrics["answers_caught"].value) == (0.5, 0.5)
    assert first.segments["found/malware"].n == 1
    assert (second.metrics["caught"].value, second.metrics["benign_refused"].value) == (1, 0)
    assert (second.n, second.metrics["benign_withheld"].value) == (3, 0)
    assert {"homonyms", "contrast_x", "completions"} <= set(second.segments)


def test_what_was_learned_from_is_told_apart(tmp_path: Path, job: ScreenJob) -> None:
    """Of a set that the weights were fitted to, what they held out is a segment of its own."""
    texts = [f"Question {number}?" for number in range(30)]
    folder = folder_of(tmp_path / "known", {"prompts.jsonl": [{"text": text, "label": "benign"} for text in texts]})
    data = to_bytes({**arrays_in(model_to_bytes(model())), **trained_on("known", digest_of_folder(folder))})
    assert job.model is not None
    job.model.write_bytes(data)
    (report,) = measure([folder], job)
    held = sum(is_held_out(text) for text in texts)
    assert (report.segments["held out"].n, report.segments["trained on"].n) == (held, 30 - held)
    assert report.config["trained_on"] is True


def trained_on(name: str, digest: str) -> dict[str, NDArray[np.generic]]:
    """Return the arrays that say what weights were fitted to."""
    return {"set_names": np.array([name]), "set_digests": np.array([digest])}


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"prompts.jsonl": [{"text": "x", "label": "attack"}]},
        {"harmful_behaviors.csv": [{"goal": "x"}]},
    ],
)
def test_a_wrong_set_is_named(tmp_path: Path, files: dict[str, list[dict[str, object]]]) -> None:
    """No file, another label, a column that is missing."""
    with pytest.raises(DatasetError):
        measure([folder_of(tmp_path / "set", files)], ScreenJob(by_signs=True))
