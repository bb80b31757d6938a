"""`ragopt COMMAND`: finds the command, parses its arguments, and turns its failures into one line."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NoReturn, Protocol, cast

from indexes.errors import IndexingError
from ragopt.cli.terminal import complain
from ragopt.errors import RagoptError

SUMMARIES: Mapping[str, str] = MappingProxyType(
    {
        "serve": "start the service",
        "ingest": "ingest files and folders",
        "ask": "answer one question, with citations",
        "batch": "answer the questions of a file at half the price, within a day",
        "keys": "create, list and revoke API keys",
        "audit": "check and read the audit log",
        "doctor": "say what works on this machine and what does not",
        "config": "check the settings",
        "plan": "say when batches, a fine-tuned model or a server of one's own would pay",
        "export": "write kept answers to train a model on, or to measure with",
        "migrate": "copy an embedded data dir to a Qdrant server and a Redis",
    }
)
FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130


class Command(Protocol):
    """What the module of a command holds."""

    EXAMPLE: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Do it and return the exit code. Raises: `RagoptError`, `IndexingError`, `OSError`."""


class OneLineParser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        complain(f"{self.prog}: {message}; `{self.prog} --help` shows how")
        raise SystemExit(WRONG_USAGE)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; `arguments` are the process's own unless given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if not given or given[0] not in SUMMARIES:
        return without_command(given)
    name, *rest = given
    command, parser = command_of(name)
    return guarded(command, parser.parse_args(rest), name=name)


def command_of(name: str) -> tuple[Command, OneLineParser]:
    """Return a command and the parser of its arguments; name: one of `SUMMARIES`."""
    # Only the command that runs is imported: the others' engines would cost a second of start-up.
    command = cast("Command", importlib.import_module(f"ragopt.cli.{name}"))
    parser = OneLineParser(
        prog=f"ragopt {name}",
        description=f"{SUMMARIES[name].capitalize()}.",
        epilog=f"Example: {command.EXAMPLE}",
    )
    command.add_arguments(parser)
    return command, parser


def without_command(given: Sequence[str]) -> int:
    """Show the help, or complain about a command that does not exist."""
    width = max(map(len, SUMMARIES))
    listing = "\n".join(f"  {name.ljust(width)}  {summary}" for name, summary in SUMMARIES.items())
    parser = OneLineParser(
        prog="ragopt",
        usage="ragopt COMMAND [arguments]",
        description=f"commands:\n{listing}",
        epilog="Example: ragopt serve\n`ragopt COMMAND --help` tells more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    if not given or given[0] in ("-h", "--help"):
        parser.print_help()
        return 0 if given else WRONG_USAGE
    return parser.error(f"there is no command {given[0]!r}")


def guarded(command: Command, arguments: argparse.Namespace, *, name: str) -> int:
    """Return the command's exit code; 1 and one line on standard error if it fails on purpose."""
    try:
        return command.run(arguments)
    except (RagoptError, IndexingError) as error:
        complain(f"ragopt {name}: {' '.join(error.detail.split())}")
        return FAILED
    except BrokenPipeError:
        # The reader of our output has gone, as `head` does; nothing may be flushed to it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except OSError as error:
        complain(f"ragopt {name}: {said_of(error)}")
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def said_of(error: OSError) -> str:
    """Return what the system refused, as "FILE: no such file or directory" where it names a file."""
    reason = (error.strerror or str(error)).lower()
    return f"{error.filename}: {reason}" if error.filename else reason
