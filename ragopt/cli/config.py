"""`ragopt config check`: the settings as they are in effect, secrets masked."""

from __future__ import annotations

import argparse
import json

from ragopt.cli.arguments import add_json
from ragopt.cli.terminal import say, say_json
from ragopt.config import config_file, load_settings

EXAMPLE = "ragopt config check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["check"], help="validate the settings and print them, secrets masked")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the effective settings. Raises: `ConfigError` naming each wrong one."""
    settings = load_settings()
    effective = settings.model_dump(mode="json")
    if arguments.json:
        say_json(effective)
        return 0
    read = config_file()
    say(f"# from {read if read.is_file() else 'the defaults'} and the environment")
    for name, value in effective.items():
        say(f"{name} = {json.dumps(value, ensure_ascii=False)}")
    return 0
