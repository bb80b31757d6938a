"""`ragopt config check`: the settings as they are in effect, secrets masked."""

from __future__ import annotations

import argparse
import json

from indexes.endpoint import shown_address
from ragopt.cli.arguments import add_json
from ragopt.cli.terminal import say, say_json
from ragopt.config import Settings, collector_address, config_file, load_settings
from ragopt.settings.profiles import profile_values

EXAMPLE = "ragopt config check"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("action", choices=["check"], help="validate the settings and print them, secrets masked")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the effective settings. Raises: `ConfigError` naming each wrong one, and a variable of OpenTelemetry's."""
    settings = load_settings()
    collector_address()
    effective = {name: masked(value) for name, value in settings.model_dump(mode="json").items()}
    if arguments.json:
        say_json(effective)
        return 0
    read = config_file()
    say(f"# from {read if read.is_file() else 'the defaults'} and the environment")
    tuned = tuned_values(settings)
    for name, value in effective.items():
        said = "" if name not in tuned else f"  # {tuned_note(settings, name, tuned[name])}"
        say(f"{name} = {json.dumps(value, ensure_ascii=False)}{said}")
    return 0


def masked(value: object) -> object:
    """Return a setting without the users and passwords of addresses in it; secrets are masked already."""
    if isinstance(value, str):
        return shown_address(value)
    if isinstance(value, dict):
        return {name: masked(item) for name, item in value.items()}
    return [masked(item) for item in value] if isinstance(value, list) else value


def tuned_values(settings: Settings) -> dict[str, object]:
    """Return what the profile of the knobs file says, {} where none is named. Raises: `ConfigError`."""
    if settings.knobs_file is None:
        return {}
    return profile_values(settings.knobs_file, settings.profile, known=Settings.model_fields)


def tuned_note(settings: Settings, name: str, tuned: object) -> str:
    """Return whether a setting is what the knobs file says."""
    where = f"{settings.knobs_file}, profile {settings.profile}"
    return f"from {where}" if getattr(settings, name) == tuned else f"overrides {json.dumps(tuned)} of {where}"
