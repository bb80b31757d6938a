"""The operator's rules, `[[routes]]` in ragopt.toml: the first that matches decides."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragopt.domain import Question
from ragopt.settings.routing import RouteSettings, RouteWhen


def first_match(
    rules: Sequence[RouteSettings], question: Question, *, score: float
) -> tuple[int, RouteSettings] | None:
    """Return the first rule that the question meets with its number from 1, None if it meets none."""
    for number, rule in enumerate(rules, start=1):
        if meets(rule.when, question, score=score):
            return number, rule
    return None


def meets(when: RouteWhen, question: Question, *, score: float) -> bool:
    """Return whether every condition that is given holds; a rule without conditions always does."""
    text = question.text.casefold()
    if when.collection is not None and question.collection not in when.collection:
        return False
    if when.contains is not None and not any(part.casefold() in text for part in when.contains):
        return False
    if when.matches is not None and not re.search(when.matches, question.text, re.IGNORECASE):
        return False
    if any(question.labels.get(name) != value for name, value in when.labels().items()):
        return False
    return (when.min_score is None or score >= when.min_score) and (when.max_score is None or score < when.max_score)


def described(number: int, rule: RouteSettings) -> str:
    """Return the rule as the reason of a route."""
    given = rule.when.model_dump(exclude_none=True)
    conditions = ", ".join(f"{name} = {value}" for name, value in given.items()) or "always"
    return f"rule {number} ({rule.name or conditions})"
