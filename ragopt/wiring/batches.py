"""What works on batches, over the pipeline that answers live questions."""

from __future__ import annotations

from collections.abc import Sequence

from ragopt.audit.trail import Audit
from ragopt.batches.desk import Desk
from ragopt.config import Settings
from ragopt.pipeline import Pipeline
from ragopt.providers.anthropic import AnthropicProvider
from ragopt.providers.batches.anthropic import AnthropicBatches
from ragopt.providers.batches.openai import OpenAIBatches
from ragopt.providers.batches.protocol import BatchProvider
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment, Inspect
from ragopt.providers.openai import OpenAIProvider
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.route.gate import QualityGate
from ragopt.state.accounts import Accounts
from ragopt.state.batches import Batches
from ragopt.wiring.path import builtin_deployment, inspections_over, planner_over


def desk_over(
    store: Batches,
    pipeline: Pipeline,
    *,
    settings: Settings,
    deployments: Sequence[Deployment],
    caller: ModelCaller,
    accounts: Accounts,
    embedder: str,
    audit: Audit,
    gate: QualityGate | None = None,
    inspect: Inspect | None = None,
) -> Desk:
    """Return what working on batches takes; caller: the one of live answers, whose circuit breakers hold here too.

    gate: judges the answers of cheap models, as it does live; None: by their form alone. inspect: finds what answers
    have to pass; None: by the judge that needs no model.
    """
    builtin, judging = builtin_deployment(), gate or QualityGate()
    providers = {item.name: batches for item in deployments if (batches := batches_of(item)) is not None}
    return Desk(
        store=store,
        pipeline=pipeline,
        plan=planner_over(deployments, builtin, settings=settings, embedder=embedder, gate=judging),
        gate=judging,
        inspect=inspect or inspections_over(ClaimJudge.lexical(), settings),
        caller=caller,
        accounts=accounts,
        deployments={item.name: item for item in (*deployments, builtin)},
        providers=providers,
        rules=settings.batch,
        max_output_tokens=settings.max_output_tokens,
        request_s=settings.request_timeout_s,
        audit=audit,
    )


def batches_of(deployment: Deployment) -> BatchProvider | None:
    """Return the batch API of a deployment, None where it has none; it shares the connections of live calls."""
    provider = deployment.provider
    if not deployment.capabilities.batch:
        return None
    if isinstance(provider, OpenAIProvider):
        return OpenAIBatches(provider)
    return AnthropicBatches(provider) if isinstance(provider, AnthropicProvider) else None
