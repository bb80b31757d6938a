"""A small pair classifier, so that tests train and export one in a moment."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import BertConfig, BertModel

from eval.pairs.export import export
from eval.pairs.network import PairNetwork
from eval.pairs.training import train
from eval.pairs.values import Pair, Recipe

COLOURS = ("red", "green", "blue", "white", "black", "yellow")
# Two texts mean the same where they name the same colour.
PAIRS = tuple(Pair(f"a {a} door", f"the {b} wall", int(a == b)) for a in COLOURS for b in COLOURS)
RECIPE = Recipe(labels=("same",), epochs=2, batch_pairs=9, learning_rate=3e-3, max_tokens=32, symmetric=True, threads=1)


def tiny_network(*, labels: int = 1) -> PairNetwork:
    """Return a BERT of one narrow layer with the vocabulary of the packaged model, and a head."""
    torch.manual_seed(3)
    config = BertConfig(
        vocab_size=30_522,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,
        attn_implementation="eager",
    )
    network = PairNetwork(BertModel(config, add_pooling_layer=False), labels=labels)
    # Logits that differ by more than bfloat16 rounds away.
    torch.nn.init.normal_(network.head.weight, std=0.3)
    # A gradient for every row of the vocabulary would take most of the time.
    network.trunk.embeddings.requires_grad_(requires_grad=False)
    return network


def tiny_pair_model(folder: Path) -> PairNetwork:
    """Train the small network on the colours for a moment, export it into `folder`, and return it."""
    trained = train(tiny_network(), PAIRS, PAIRS[:9], recipe=RECIPE)
    export(trained.network, folder, recipe=RECIPE, trained_on={"colours": "0" * 16})
    return trained.network
