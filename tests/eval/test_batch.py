"""Tests of the command that measures batches."""

from __future__ import annotations

import pytest

from eval.__main__ import main


def test_nothing_to_measure_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither questions nor kills: the message names both options, and nothing passes for a success."""
    assert main(["batch"]) == 1
    assert "--data DIR, or --kills" in capsys.readouterr().err
