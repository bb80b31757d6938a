"""What pair classifiers are trained on and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts and their label, a place in the model's labels (of a model with one label: 0 or 1).

    weight: of its loss. source: which set or maker it comes from, for evaluation part by part.
    """

    a: str
    b: str
    label: int
    weight: float = 1.0
    source: str = ""


@dataclass(frozen=True, slots=True)
class Recipe:
    """How to train. The learning rate rises over `warm_up` of the steps, then falls linearly to 0.

    labels: names in the order of the logits; one name is a yes or no with a logistic loss, several exclude each other.
    frozen_layers: how many of the six stay as they are, as the embeddings always do, so that words no pair has keep
    their place beside those that pairs have. symmetric: the order of the two texts means nothing, so it is drawn.
    patience: evaluations without a gain before it ends.
    """

    labels: tuple[str, ...]
    epochs: int = 2
    batch_pairs: int = 32
    learning_rate: float = 1e-4
    warm_up: float = 0.1
    max_tokens: int = 128
    frozen_layers: int = 1
    symmetric: bool = False
    patience: int = 1
    seed: int = 0
    threads: int = 2
