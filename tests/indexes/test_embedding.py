"""The embedder: the shipped model through OpenVINO, against the same model under torch."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from indexes.embedding import Embedder
from indexes.errors import ModelUnavailable
from indexes.model import TorchForward, model_files
from indexes.tokens import max_sim, shipped_projection
from ragopt.config import cache_dir

TEXTS = [
    "The fee for late payment is eight dollars.",
    "Cats sleep for most of the day.",
    "",
    "word " * 2_000,
    "مرحبا بالعالم and \u200bzero width",
]


@pytest.fixture(scope="module")
def embedder() -> Iterator[Embedder]:
    loaded = Embedder.load("", cache_folder=cache_dir())
    yield loaded
    loaded.close()


def test_vectors_are_unit_length_and_in_the_order_asked(embedder: Embedder) -> None:
    """Batching by length does not change which vector belongs to which text."""
    together = asyncio.run(embedder.encode(TEXTS))
    assert all(float(np.linalg.norm(item.dense)) == pytest.approx(1, abs=1e-3) for item in together)
    for text, item in zip(TEXTS, together, strict=True):
        alone = asyncio.run(embedder.encode([text]))[0]
        assert float(alone.dense @ item.dense) > 0.99


def test_both_engines_agree(embedder: Embedder) -> None:
    """OpenVINO's vectors are torch's, and so are the token bits but for a few near zero."""
    files = model_files("")
    by_torch = Embedder(files, TorchForward(files), projection=shipped_projection(files.sha256, 384))
    mine, reference = asyncio.run(embedder.encode(TEXTS)), asyncio.run(by_torch.encode(TEXTS))
    by_torch.close()
    assert by_torch.tag == embedder.tag
    for one, two in zip(mine, reference, strict=True):
        assert float(one.dense @ two.dense) > 0.995
        assert one.tokens.shape == two.tokens.shape
        assert one.tokens.size == 0 or float(np.mean(np.unpackbits(one.tokens) == np.unpackbits(two.tokens))) > 0.95


def test_late_interaction_prefers_the_text_that_answers(embedder: Embedder) -> None:
    """MaxSim over stored bits finds the right one of two texts."""
    stored = asyncio.run(embedder.encode(TEXTS[:2]))
    question = asyncio.run(embedder.encode_question("how much is the late fee?"))
    scores = max_sim(question, [item.tokens for item in stored])
    assert scores[0] > scores[1] + 0.1
    assert float(question.weights.sum()) == pytest.approx(1)


def test_every_token_vector_has_its_place_in_the_text(embedder: Embedder) -> None:
    """There is one start per token vector, ascending, at a character that the token begins with."""
    text = "  Überraschung: 🎈 late fees!"
    starts = asyncio.run(embedder.token_starts([text, ""]))
    encoded = asyncio.run(embedder.encode([text, ""]))
    assert [len(places) for places in starts] == [len(item.tokens) for item in encoded]
    assert sorted(starts[0]) == list(starts[0])
    assert text[starts[0][0]] == "Ü"
    assert text.index("late") in starts[0]
    assert text.index("fees") in starts[0]


def test_progress_counts_every_text(embedder: Embedder) -> None:
    """Batches report their sizes, which add up; nothing to encode reports nothing."""
    sizes: list[int] = []
    asyncio.run(embedder.encode(["text"] * 21, on_batch=sizes.append))
    assert sum(sizes) == 21
    assert max(sizes) <= 8
    assert asyncio.run(embedder.encode([])) == []


def test_a_question_overtakes_waiting_batches(embedder: Embedder) -> None:
    """A question asked while documents are embedded is answered before most of them."""

    async def run() -> int:
        done = 0

        def count(size: int) -> None:
            nonlocal done
            done += size

        documents = asyncio.create_task(embedder.encode(["a long enough text " * 20] * 200, on_batch=count))
        while done == 0:
            await asyncio.sleep(0.001)
        await embedder.encode_question("a question")
        seen = done
        await documents
        return seen

    assert asyncio.run(run()) < 150


def test_damaged_or_missing_models_are_refused(tmp_path: Path) -> None:
    """A missing folder, a folder without weights and a pooling that is not supported each say what is wrong."""
    with pytest.raises(ModelUnavailable, match="RAGOPT_EMBEDDING_MODEL"):
        model_files(str(tmp_path / "nowhere" / "at" / "all"))
    with pytest.raises(ModelUnavailable, match="model.safetensors is missing"):
        model_files(str(tmp_path))
    with pytest.raises(ModelUnavailable, match="a folder or a hub id"):
        model_files("http://127.0.0.1:1/embed")
    shutil.copytree(model_files("").folder, tmp_path / "model")
    (tmp_path / "model" / "1_Pooling" / "config.json").write_text('{"pooling_mode_max_tokens": true}')
    with pytest.raises(ModelUnavailable, match="pooling"):
        model_files(str(tmp_path / "model"))
