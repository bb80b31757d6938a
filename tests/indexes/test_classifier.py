"""The classifier of pairs: a small real cross-encoder through OpenVINO and torch, against sentence-transformers."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest

from indexes.classifier import (
    OpenVinoClassifier,
    PairForward,
    TorchClassifier,
    classifier_files,
    load_classifier,
    padded_pairs,
)
from indexes.errors import ModelUnavailable
from indexes.model import shipped_folder
from tests.cross_encoders import tiny_cross_encoder

SETTING = "RAGOPT_RERANK_MODEL"
QUESTION = "How much is the late fee?"
TEXTS = (
    "The fee for late payment is eight dollars.",
    "Cats sleep for most of the day.",
    "word " * 300,
    "مرحبا بالعالم",
    "x",
)


@pytest.fixture(scope="session")
def converted_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the cache folder that the small cross-encoder is converted into, once."""
    return tmp_path_factory.mktemp("converted")


def logits_of(folder: Path, forward: PairForward, *texts: str) -> np.ndarray:
    """Return the logits of the texts in one batch."""
    tokenizer = classifier_files(str(folder), setting=SETTING).tokenizer()
    return forward.logits(*padded_pairs(tokenizer.encode_batch([(QUESTION, text) for text in texts])))


def test_scores_are_those_of_sentence_transformers(
    cross_encoder: Path, converted_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """OpenVINO's logits are `CrossEncoder.predict`'s up to bfloat16, torch's exactly; a long text is cut alike."""
    import torch
    from sentence_transformers import CrossEncoder

    with caplog.at_level(logging.WARNING):
        forward = load_classifier(classifier_files(str(cross_encoder), setting=SETTING), converted_folder)
    assert isinstance(forward, OpenVinoClassifier), caplog.text
    pairs = [(QUESTION, text) for text in TEXTS]
    expected = CrossEncoder(str(cross_encoder), device="cpu").predict(pairs, activation_fn=torch.nn.Identity())
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(logits_of(cross_encoder, TorchClassifier(cross_encoder), *TEXTS), expected, atol=1e-4)
    found = logits_of(cross_encoder, forward, *TEXTS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=0.05 * float(np.ptp(expected)))


def test_a_score_does_not_depend_on_the_batch(cross_encoder: Path) -> None:
    """Padding and neighbours change nothing."""
    forward = TorchClassifier(cross_encoder)
    alone = [logits_of(cross_encoder, forward, text)[0] for text in TEXTS]
    np.testing.assert_allclose(logits_of(cross_encoder, forward, *TEXTS), alone, atol=1e-4)


def test_the_question_is_told_from_the_text(cross_encoder: Path) -> None:
    """Segment ids reach the model: with all of them 0 the scores are others."""
    forward = TorchClassifier(cross_encoder)
    tokenizer = classifier_files(str(cross_encoder), setting=SETTING).tokenizer()
    ids, mask, types = padded_pairs(tokenizer.encode_batch([(QUESTION, text) for text in TEXTS]))
    assert types.max() == 1
    assert np.abs(forward.logits(ids, mask, types) - forward.logits(ids, mask, np.zeros_like(types))).max() > 0.01


def test_a_batch_is_padded_to_its_longest_pair(cross_encoder: Path) -> None:
    """Width is the longest pair's; the mask is 1 where there are tokens."""
    files = classifier_files(str(cross_encoder), setting=SETTING)
    encodings = files.tokenizer().encode_batch([(QUESTION, text) for text in TEXTS])
    ids, mask, _ = padded_pairs(encodings)
    assert files.max_tokens == 128
    assert ids.shape == (len(TEXTS), 128)
    assert mask.sum(axis=1).tolist() == [len(encoding.ids) for encoding in encodings]
    assert padded_pairs(encodings[:1])[0].shape == (1, len(encodings[0].ids))


def test_what_openvino_cannot_run_torch_does(
    cross_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A cache folder that cannot be written costs speed, not the reranker, and the log says so."""
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    forward = load_classifier(classifier_files(str(cross_encoder), setting=SETTING), blocked)
    assert forward.engine == "torch-f32"
    assert "OpenVINO cannot run the cross-encoder" in caplog.text


def test_what_is_no_cross_encoder_is_refused(cross_encoder: Path, tmp_path: Path) -> None:
    """Each message names the setting and what is wrong: no folder, no file, no classifier, two labels, more layers."""
    with pytest.raises(ModelUnavailable, match="RAGOPT_RERANK_MODEL: .*nowhere"):
        classifier_files(str(tmp_path / "nowhere" / "at" / "all"), setting=SETTING)
    with pytest.raises(ModelUnavailable, match="RAGOPT_RERANK_MODEL: .*model.safetensors is missing"):
        classifier_files(str(tmp_path), setting=SETTING)
    with pytest.raises(ModelUnavailable, match="RAGOPT_RERANK_MODEL: .*'BertModel'.* is no sequence classifier"):
        classifier_files(str(shipped_folder()), setting=SETTING)
    with pytest.raises(ModelUnavailable, match="RAGOPT_RERANK_MODEL: .*one label"):
        classifier_files(str(tiny_cross_encoder(tmp_path / "two", labels=2)), setting=SETTING)
    shutil.copytree(cross_encoder, tmp_path / "more")
    layers = json.loads((tmp_path / "more" / "modules.json").read_text())
    (tmp_path / "more" / "modules.json").write_text(json.dumps([*layers, {"type": "Dense"}]))
    with pytest.raises(ModelUnavailable, match="RAGOPT_RERANK_MODEL: .*layers beyond"):
        classifier_files(str(tmp_path / "more"), setting=SETTING)
