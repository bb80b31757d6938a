"""What a stranger pastes from README and docs is understood, and every link leads where it says."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from docs import pictures, record_tour
from eval.__main__ import parser as eval_parser
from eval.stub.__main__ import parser as stub_parser
from ragopt.cli.entry import SUMMARIES, command_of
from tests.house.source import ROOT
from tests.pages import EVERY_PAGE, LINK, anchors, blocks, commands, prose

BY_NAME = {"ids": lambda page: page.name}


@pytest.mark.parametrize("page", EVERY_PAGE, **BY_NAME)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and every anchor a heading of it."""
    missing = []
    for name, anchor in LINK.findall(prose(page)):
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor.removeprefix("#") not in anchors(target)):
            missing.append(f"{name}{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", EVERY_PAGE, **BY_NAME)
def test_commands_are_understood(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every `ragopt …` and `python -m eval …` of a page passes the real parser; a name alone must be a command."""
    wrong = [" ".join(words) for words in commands(page) if not understood(words)]
    assert wrong == [], capsys.readouterr().err


def understood(words: list[str]) -> bool:
    """Return whether the real parser takes a command; one that is only named needs no arguments."""
    program, *arguments = words
    if program == "ragopt":
        if arguments == ["--help"]:
            return True
        return arguments[0] in SUMMARIES and takes(command_of(arguments[0])[1], arguments[1:])
    if arguments[0] == "stub":
        return takes(stub_parser(), arguments[1:])
    return takes(eval_parser(), arguments)


def takes(parser: argparse.ArgumentParser, arguments: list[str]) -> bool:
    """Return whether a parser takes these arguments, or, where a command is only named, has help for it."""
    named = not any(argument.startswith("-") for argument in arguments)
    for given in (arguments, [*arguments, "--help"]) if named else (arguments,):
        try:
            parser.parse_args(given)
        except SystemExit as ended:
            if ended.code == 0:
                return True
        else:
            return True
    return False


def test_the_tour_is_what_is_recorded() -> None:
    """Every command of docs/tour.md is a step of what records it: `python -m docs.record_tour` writes the page anew."""
    shown = [block.body.rstrip("\n") for block in blocks(ROOT / "docs" / "tour.md", "sh")]
    assert shown == [step.does for step in record_tour.STEPS]


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "pictures").glob("*.png")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(picture: Path) -> None:
    """Nobody waits for a page, and no picture is left over."""
    assert picture.stat().st_size <= pictures.MOST_BYTES
    assert any(f"pictures/{picture.name})" in prose(page) for page in EVERY_PAGE)
