"""Cross-encoders for tests: a small real one, and one on a clock of its own."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from indexes.model import shipped_folder


def tiny_cross_encoder(folder: Path, *, labels: int = 1) -> Path:
    """Write a BERT of two small layers with fixed random weights and the shipped vocabulary; return its folder."""
    import torch
    from sentence_transformers import CrossEncoder
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    tokenizer = AutoTokenizer.from_pretrained(shipped_folder())
    # Weights larger than a trained model's, so that scores differ by more than bfloat16 rounds away.
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        initializer_range=0.3,
        num_labels=labels,
    )
    plain = folder / "plain"
    BertForSequenceClassification(config).save_pretrained(plain)
    tokenizer.model_max_length = 128
    tokenizer.save_pretrained(plain)
    CrossEncoder(str(plain), device="cpu").save_pretrained(str(folder / "model"), create_model_card=False)
    return folder / "model"


def cached_by_hub(hub: Path, model: Path) -> Path:
    """Lay the model out as the hub's library does, under the name of the README; return its snapshot."""
    repository = hub / "models--cross-encoder--ms-marco-MiniLM-L6-v2"
    snapshot = repository / "snapshots" / "a1b2"
    shutil.copytree(model, snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a1b2")
    return snapshot


def shared_words(question: str, text: str) -> float:
    """Return how many words of the question the text has."""
    return float(len(set(question.lower().split()) & set(text.lower().split())))


@dataclass
class Clock:
    """A clock that moves when it is told to."""

    now: float = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


@dataclass
class SimulatedJudge:
    """A judge that takes `s_per_text` of its clock for each text and keeps its batches.

    After `fails_after` batches it raises `failure`, or never comes back if there is none.
    """

    clock: Clock
    s_per_text: float = 0.01
    batch_pairs: int = 4
    score: Callable[[str, str], float] = shared_words
    fails_after: int | None = None
    failure: Exception | None = None
    tag: str = "simulated"
    batches: list[tuple[str, ...]] = field(default_factory=list)

    async def scores(self, question: str, texts: Sequence[str]) -> Sequence[float]:
        """Return the scores after the time they take."""
        if self.fails_after is not None and len(self.batches) >= self.fails_after:
            if self.failure is not None:
                raise self.failure
            await asyncio.Event().wait()
        self.batches.append(tuple(texts))
        self.clock.now += self.s_per_text * len(texts)
        return [self.score(question, text) for text in texts]

    async def close(self) -> None:
        """Do nothing."""
