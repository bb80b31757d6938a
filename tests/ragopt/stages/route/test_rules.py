"""Which questions a rule meets."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from ragopt.domain import Question
from ragopt.settings.routing import RouteSettings, RouteWhen, RoutingSettings
from ragopt.stages.route.rules import described, first_match, meets

QUESTION = Question("How do I cancel my Contract?", "t", "legal", labels={"team": "hr"})


@pytest.mark.parametrize(
    ("when", "met"),
    [
        ({}, True),
        ({"collection": "legal"}, True),
        ({"collection": ["help", "legal"]}, True),
        ({"collection": "help"}, False),
        ({"contains": "contract"}, True),
        ({"contains": ["refund", "CANCEL"]}, True),
        ({"contains": "refund"}, False),
        ({"matches": r"^how\b.*contract"}, True),
        ({"matches": r"^why"}, False),
        ({"min_score": 0.5}, True),
        ({"min_score": 0.51}, False),
        ({"max_score": 0.5}, False),
        ({"max_score": 0.51}, True),
        ({"label_team": "hr"}, True),
        ({"label_team": "sales"}, False),
        ({"label_user": "ann"}, False),
        ({"collection": "legal", "contains": "refund"}, False),
    ],
)
def test_every_given_condition_must_hold(when: dict[str, object], *, met: bool) -> None:
    """No condition is always met; several are met together; scores are half open."""
    assert meets(RouteWhen.model_validate(when), QUESTION, score=0.5) is met


def test_the_first_match_decides() -> None:
    """Later rules are not looked at, and none may match."""
    rules = [
        RouteSettings(when=RouteWhen(collection=("help",)), tier="simple"),
        RouteSettings(when=RouteWhen(collection=("legal",)), tier="complex"),
        RouteSettings(tier="medium"),
    ]
    assert first_match(rules, QUESTION, score=0) == (2, rules[1])
    assert first_match(rules[:1], QUESTION, score=0) is None


def test_a_rule_without_a_name_is_described_by_its_conditions() -> None:
    """An operator reads in `route.reason` which rule it was."""
    assert described(2, RouteSettings(when=RouteWhen(matches="^why"), tier="complex")) == "rule 2 (matches = ^why)"
    assert described(1, RouteSettings(tier="medium")) == "rule 1 (always)"


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (RouteSettings, {}, "either a tier or a model"),
        (RouteSettings, {"tier": "simple", "model": "m"}, "either a tier or a model"),
        (RouteSettings, {"tier": "simple", "when": {"matches": "("}}, "not a regular expression"),
        (RouteSettings, {"tier": "simple", "when": {"contain": "x"}}, "contain"),
        (RoutingSettings, {"medium_from": 0.8}, "medium_from must not be above complex_from"),
    ],
)
def test_a_wrong_rule_says_what_is_wrong(
    kind: type[RouteSettings | RoutingSettings], fields: dict[str, object], message: str
) -> None:
    """A typo, a bad pattern or a missing target stops the start."""
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(fields)
