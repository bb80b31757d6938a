"""Routing in ragopt.toml."""

from __future__ import annotations

from pathlib import Path

import pytest

from ragopt.config import load_settings
from ragopt.errors import ConfigError
from tests.environment import environment

MODEL = '[[models]]\nname = "small"\nprovider = "extractive"\n'
