"""How the turns of conversations become summaries."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment
from ragopt.settings.history import HistorySettings
from ragopt.stages.history.fold import Limits, folded
from ragopt.stages.history.written import SummaryWriter
from ragopt.state.conversations import Fold, WriteSummary


def folding(
    history: HistorySettings, *, deployments: Sequence[Deployment], caller: ModelCaller
) -> tuple[Fold, WriteSummary | None]:
    """Return how old turns become a summary: by extraction, and by the model that `[history]` names, None for none."""
    limits = Limits.of(history)
    found = next((item for item in deployments if item.name == history.model), None)
    write = SummaryWriter(found, caller=caller, limits=limits) if found else None
    return partial(folded, limits=limits), write
