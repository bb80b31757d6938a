"""Citation markers."""

from __future__ import annotations

import pytest

from ragopt.markers import PARTIAL, markers, numbers, rewritten, without_emphasis, without_markers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a [1] b[2]", [[1], [2]]),
        ("a [1][2] [3, 4; 5]", [[1], [2], [3, 4, 5]]),
        ("a [2-4] [5–6] [4-2]", [[2, 3, 4], [5, 6], [4, 2]]),
        ("a 【1】 ［２］ 【3:0†handbook.pdf】 [^4]", [[1], [2], [3], [4]]),
        ("a [2004] [x] [1 [] [1a]", []),
        ("a `b[1]` ``c ` [2]`` [3]", [[3]]),
    ],
)
def test_markers_are_found_in_every_form(text: str, found: list[list[int]]) -> None:
    """Lists, ranges, full-width brackets and footnotes; no years, no words, nothing in code."""
    assert [numbers(marker) for marker in markers(text)] == found


def test_rewriting_keeps_what_is_known() -> None:
    """Every marker becomes a plain one; a marker of nothing known goes with the space before it, or behind it."""
    assert rewritten("[9] Cats [1-3]. Dogs 【2】 [9] `[9]`.", {1, 2}) == "Cats [1, 2]. Dogs [2] `[9]`."
    assert without_markers("Cats sleep [1][2]. Dogs [3] bark.") == "Cats sleep. Dogs bark."


@pytest.mark.parametrize("text", ["[", " [1", "[1,", "[1, 2", "[1-", "【3", "【3†hand", "[^"])
def test_what_may_become_a_marker_is_known(text: str) -> None:
    """Every beginning of a marker is one."""
    assert PARTIAL.fullmatch(text)


@pytest.mark.parametrize("text", ["[a", "[1]", "x", "[see 1"])
def test_what_cannot_become_a_marker_is_not_waited_for(text: str) -> None:
    """A bracket with a word in it is text."""
    assert not PARTIAL.fullmatch(text)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("**Refunds** take _ten_ days, *not* `one`", "Refunds take ten days, not one"),
        ("Set `max_output_tokens` to 5*3 in __init__.py", "Set max_output_tokens to 5*3 in init.py"),
        ("***all*** of __it__ and _more than that_", "all of it and more than that"),
        ("2 * 3, _private, a_b_c and f(*args)", "2 * 3, _private, a_b_c and f(args)"),
        ("**half of it", "half of it"),
    ],
)
def test_emphasis_goes_and_identifiers_stay(written: str, plain: str) -> None:
    """Only what marks a word is taken out of it."""
    assert without_emphasis(written) == plain
