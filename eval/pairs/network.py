"""The pair classifier in torch: a transformer over both texts, and a linear head over what it makes of each."""

from __future__ import annotations

import math
from typing import cast

import torch
from transformers import AutoModel, BertModel

from indexes.model import shipped_folder

# Eager attention traces to plain matrix products, which OpenVINO fuses itself.
ATTENTION = "eager"
DROPOUT = 0.1


class PairNetwork(torch.nn.Module):
    """Logits float32 [batch, labels] from ids, mask and types, int64 [batch, tokens] each.

    The head reads the first token's vector beside |u - v| and u * v of the two texts' mean vectors: the trunk was
    trained to compare such means, so that a few thousand pairs suffice.
    Source of the features: Conneau et al., "Supervised Learning of Universal Sentence Representations", EMNLP 2017.
    """

    def __init__(self, trunk: BertModel, *, labels: int) -> None:
        super().__init__()
        self.trunk = trunk
        self.dropout = torch.nn.Dropout(DROPOUT)
        self.head = torch.nn.Linear(3 * trunk.config.hidden_size, labels)
        torch.nn.init.normal_(self.head.weight, std=0.02)
        torch.nn.init.zeros_(self.head.bias)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> torch.Tensor:
        """Return the logits, float32 [batch, labels]."""
        hidden = self.trunk(input_ids=ids, attention_mask=mask, token_type_ids=types).last_hidden_state
        u, v = mean_over(hidden, mask * (1 - types)), mean_over(hidden, mask * types)
        features = torch.cat([hidden[:, 0], (u - v).abs(), u * v], dim=1)
        # In float32 under autocast too: bfloat16 leaves a logit two digits.
        with torch.autocast("cpu", enabled=False):
            logits: torch.Tensor = self.head(self.dropout(features.float()))
        return logits


def mean_over(hidden: torch.Tensor, where: torch.Tensor) -> torch.Tensor:
    """Return float [batch, hidden]: the mean of the token vectors at which `where` is 1, scaled to length √hidden."""
    weights = where.unsqueeze(-1).to(hidden.dtype)
    mean = (hidden * weights).sum(1) / weights.sum(1).clamp(min=1)
    scaled: torch.Tensor = torch.nn.functional.normalize(mean, dim=1) * math.sqrt(hidden.shape[-1])
    return scaled


def new_network(*, labels: int, frozen_layers: int, seed: int) -> PairNetwork:
    """Return the packaged trunk with a fresh head; embeddings and the first `frozen_layers` layers do not learn."""
    torch.manual_seed(seed)
    trunk = AutoModel.from_pretrained(shipped_folder(), attn_implementation=ATTENTION, add_pooling_layer=False)
    network = PairNetwork(cast("BertModel", trunk), labels=labels)
    for part in (trunk.embeddings, *trunk.encoder.layer[:frozen_layers]):
        part.requires_grad_(requires_grad=False)
    return network
