"""Answers as JSON against a schema."""

from __future__ import annotations

import json

import pytest

from ragopt.api.json_schemas import wrong_schema
from ragopt.stages.cite.schema import bare, mismatch, scalars

SCHEMA = json.dumps(
    {
        "$defs": {"fee": {"type": "string", "minLength": 3}},
        "type": "object",
        "properties": {"fee": {"$ref": "#/$defs/fee"}, "days": {"type": "integer", "minimum": 1}},
        "required": ["fee"],
        "additionalProperties": False,
    }
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"fee": "eight [1]", "days": 3}', None),
        ('{"fee": "eight [1]"', "it is not JSON"),
        ("Eight dollars [1].", "it is not JSON"),
        ('{"days": NaN, "fee": "eight"}', "NaN is no JSON"),
        ('{"days": 3}', "'fee' is a required property"),
        ('{"fee": "x", "days": 0}', "$.days: 0 is less than the minimum of 1; $.fee: 'x' is too short"),
        ("[" * 100_000, "it is not JSON"),
    ],
)
def test_a_mismatch_is_named(text: str, said: str | None) -> None:
    """Every reason stands in one sentence, for the model that is to mend it."""
    found = mismatch(text, SCHEMA)
    assert found == said if said is None else said in str(found)


def test_a_mismatch_can_be_told_without_what_the_text_holds() -> None:
    """Then it names the rules alone, each once."""
    text = '{"ada@example.org": 1, "fee": "x", "days": 0}'
    assert "ada@example.org" in str(mismatch(text, SCHEMA))
    told = mismatch(text, SCHEMA, quotes=False)
    assert told == "it breaks `additionalProperties`; it breaks `minimum`; it breaks `minLength`"


def test_a_fence_around_json_is_no_part_of_it() -> None:
    """Some models cannot leave it out."""
    assert bare('\n```json\n{"a": 1}\n```\n') == bare('{"a": 1}') == '{"a": 1}'


def test_strings_are_found_and_keys_are_not() -> None:
    """Escaped quotation marks end no string."""
    text = '{"a [1]": "say \\"x\\" [1]", "b": ["y", 2]}'
    assert [text[slice(*item.span)] for item in scalars(text) if item.kind == "string"] == ['say \\"x\\" [1]', "y"]


def test_what_stands_behind_a_key_has_its_label() -> None:
    """Names of keys become words; the elements of a list have the label of the list, and a key its own."""
    text = '{"phoneNumber": [12, "x"], "date_of_birth": "y: z", "c": {"d": -1.5e3}}'
    assert [(item.kind, text[slice(*item.span)], item.label) for item in scalars(text)] == [
        ("key", "phoneNumber", "phone Number: "),
        ("number", "12", "phone Number: "),
        ("string", "x", "phone Number: "),
        ("key", "date_of_birth", "date of birth: "),
        ("string", "y: z", "date of birth: "),
        ("key", "c", "c: "),
        ("key", "d", "d: "),
        ("number", "-1.5e3", "d: "),
    ]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "nonsense"},
        {"properties": {"a": {"pattern": "a+"}}},
        {"$ref": "https://example.com/schema"},
        {"description": "x" * 20_000},
        {"items": [{"$dynamicRef": "#x"}]},
    ],
)
def test_a_schema_that_is_wrong_or_unsafe_is_refused(schema: dict[str, object]) -> None:
    """No regular expressions of callers, nothing outside the schema, and no schema without end."""
    assert wrong_schema(schema)
    assert wrong_schema(json.loads(SCHEMA)) is None


def test_a_schema_without_end_is_refused() -> None:
    """It is told by its depth."""
    deep: dict[str, object] = {}
    for _ in range(40):
        deep = {"items": deep}
    assert "deep" in str(wrong_schema(deep))
