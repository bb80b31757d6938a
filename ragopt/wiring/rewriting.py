"""How follow-ups become questions that stand alone."""

from __future__ import annotations

from collections.abc import Sequence

from ragopt.ports import Rewrite
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment
from ragopt.settings.rewriting import RewriteSettings
from ragopt.stages.rewrite import ModelRewriter, RuleRewriter, shipped_model


def rewriter(rewrite: RewriteSettings, *, deployments: Sequence[Deployment], caller: ModelCaller) -> Rewrite:
    """Return the rule, and behind it the model that `[rewrite]` names, if there is one."""
    rule = RuleRewriter(shipped_model())
    found = next((item for item in deployments if item.name == rewrite.model), None)
    return ModelRewriter(rule, found, caller, rewrite.deadline_ms / 1000) if found else rule
