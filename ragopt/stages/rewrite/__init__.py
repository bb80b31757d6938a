"""Follow-up to standalone question."""

from ragopt.stages.rewrite.rule import RuleRewriter
from ragopt.stages.rewrite.selector import shipped_model
from ragopt.stages.rewrite.written import ModelRewriter

__all__ = ["ModelRewriter", "RuleRewriter", "shipped_model"]
