"""What an answer lost, in the losses that experiments compare. Pure."""

from __future__ import annotations

from ragopt.domain import Answer
from ragopt.settings.experiments import Loss


def losses_of(answer: Answer, *, latency_ms: float) -> dict[Loss, float]:
    """Return every loss that the answer tells of; the cost is left out where a price is not known.

    unsupported: the share of its citations that are. latency_ms: the whole time of the request in the service.
    """
    cited = len(answer.citations)
    losses: dict[Loss, float] = {
        "latency_ms": latency_ms,
        "abstained": float(answer.abstained),
        "partial": float(answer.partial),
        "unsupported": sum(item.support == "unsupported" for item in answer.citations) / cited if cited else 0.0,
    }
    if answer.usage.cost_usd is not None:
        losses["cost_usd"] = float(answer.usage.cost_usd)
    return losses
