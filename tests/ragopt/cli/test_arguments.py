"""Arguments of the command line as values."""

from __future__ import annotations

import argparse

import pytest

from ragopt.cli.arguments import add_filter, duration_s, filter_of
from ragopt.domain import Scalar
from ragopt.errors import InvalidRequest


def parsed(*arguments: str) -> dict[str, tuple[Scalar, ...]]:
    """Return the filter of a command line."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_filter(parser)
    given = [part for argument in arguments for part in ("--filter", argument)]
    return dict(filter_of(parser.parse_args(given).filter))


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("k=hr", "hr"),
        ("k=2024", 2024),
        ("k=1.5", 1.5),
        ("k=true", True),
        ('k="2024"', "2024"),
        ("k=", ""),
        ("k=a=b", "a=b"),
        ("k=NaN", "NaN"),
        ("k={", "{"),
    ],
)
def test_value_is_json_or_else_a_string(argument: str, value: Scalar) -> None:
    """What is JSON has its JSON type; anything else is the string that it is."""
    ((found,),) = parsed(argument).values()
    assert (found, type(found)) == (value, type(value))


def test_keys_and_values_add_up() -> None:
    """A key given twice, or a JSON list, means any of the values; no `--filter` is no filter."""
    assert parsed("year=2023", "team=hr", "year=2024", 'team=["it", "ops"]') == {
        "year": (2023, 2024),
        "team": ("hr", "it", "ops"),
    }
    assert parsed() == {}


@pytest.mark.parametrize("wrong", ["team", "=hr", "", "team=null", 'team={"any": 1}', "n=99999999999999999999"])
def test_wrong_filter_is_refused(wrong: str) -> None:
    """What is no pair, or no value that metadata can have, is named."""
    with pytest.raises(argparse.ArgumentError, match="--filter"):
        parsed(wrong)


def test_as_many_keys_as_a_service_takes() -> None:
    """The bound of a request holds on the command line too."""
    with pytest.raises(InvalidRequest, match="20 keys"):
        parsed(*(f"key{n}=1" for n in range(21)))


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("90s", 90), ("30m", 1_800), ("24h", 86_400), ("7d", 604_800), (" 1h ", 3_600)]
)
def test_a_duration_has_a_unit(text: str, seconds: float) -> None:
    """Seconds, minutes, hours or days; none needs no unit."""
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "1.5h", "-1h", "1w", "h", "1h30m"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With an example of each unit."""
    with pytest.raises(argparse.ArgumentTypeError, match="24h"):
        duration_s(text)
