"""Whether a command of a page is one that the real parsers take."""

from __future__ import annotations

import argparse
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

from eval.__main__ import parser as eval_parser
from eval.stub.__main__ import parser as stub_parser
from ragopt.cli.entry import SUMMARIES, command_of


def understood(words: list[str], *, named: bool) -> bool:
    """Return whether the real parser takes a command. named: a sentence speaks of it and may leave arguments out."""
    program, *arguments = words
    if program == "ragopt":
        if arguments == ["--help"]:
            return True
        return arguments[0] in SUMMARIES and takes(command_of(arguments[0])[1], arguments[1:], named=named)
    if arguments[0] == "stub":
        return takes(stub_parser(), arguments[1:], named=named)
    return takes(eval_parser(), arguments, named=named)


def takes(parser: argparse.ArgumentParser, arguments: list[str], *, named: bool) -> bool:
    """Return whether a parser takes these arguments, or, of a command that is named, knows its flags."""
    if parsed(parser, arguments)[0]:
        return True
    leading = next((at for at, text in enumerate(arguments) if text.startswith("-")), len(arguments))
    known, told = parsed(parser, [*arguments[:leading], "--help"])
    return named and known and all(flag in told for flag in arguments if flag.startswith("--"))


def parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[bool, str]:
    """Return whether a parser takes these arguments, its own help among them, and what it prints."""
    told = StringIO()
    with redirect_stdout(told), redirect_stderr(told):
        try:
            parser.parse_args(arguments)
        except SystemExit as ended:
            return ended.code == 0, told.getvalue()
    return True, told.getvalue()
