"""Follow-up to standalone question."""

from ragopt.stages.rewrite.rule import RuleRewriter
from ragopt.stages.rewrite.selector import shipped_model

__all__ = ["RuleRewriter", "shipped_model"]
