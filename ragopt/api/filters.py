"""The metadata filter of a request: what it may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import PlainValidator
from pydantic_core import PydanticCustomError

from indexes.errors import DocumentError
from indexes.points import value_bytes
from ragopt.domain import Scalar

MAX_FILTER_KEYS = 20
MAX_FILTER_VALUES = 100


def filter_values(wanted: object) -> tuple[Scalar, ...]:
    """Return the values that a filter takes for one key: those of a list, or a value alone."""
    values = wanted if isinstance(wanted, list) else [wanted]
    if len(values) > MAX_FILTER_VALUES:
        raise PydanticCustomError("too_many_values", "At most {limit} values are allowed", {"limit": MAX_FILTER_VALUES})
    return tuple(filter_value(value) for value in values)


def filter_value(value: object) -> Scalar:
    """Return the value if metadata could have it."""
    if not isinstance(value, str | int | float | bool):
        raise PydanticCustomError("filter_value", "A string, a number, true or false is needed, or a list of these")
    try:
        value_bytes(value)
    except DocumentError as error:
        raise PydanticCustomError("filter_value", "{reason}", {"reason": error.detail}) from error
    return value


FilterValues = Annotated[
    tuple[Scalar, ...], PlainValidator(filter_values, json_schema_input_type=Scalar | list[Scalar])
]
