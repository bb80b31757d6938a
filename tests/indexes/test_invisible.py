"""Characters that nobody sees."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indexes.invisible import INVISIBLE, strip_hidden, strip_invisible

TEXT = st.text(alphabet=st.sampled_from("aé می中❤️\u200c\u200d\u200b\u202e\U000e0041 1"), max_size=30)


@pytest.mark.parametrize(
    "text", ["می\u200cخواهم", "👨\u200d👩\u200d👧", "❤\ufe0f ok", "👁\ufe0f\u200d🗨\ufe0f", "क\u094d\u200dष"]
)
def test_what_shapes_visible_writing_stays_for_a_reader_and_goes_for_the_index(text: str) -> None:
    """The same word is found however it was typed, and shown as it was typed."""
    assert strip_hidden(text) == text
    assert not INVISIBLE.search(strip_invisible(text))


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\u200bb", "ab"),
        ("pay\u200c\u200dload", "payload"),
        ("x\u202ey", "xy"),
        ("hi\U000e0041\U000e0042", "hi"),
        ("نص\u200c\u200c\u200cنص", "نصنص"),
        ("\u200cخ", "خ"),
        ("می\u200c", "می"),
    ],
)
def test_what_hides_something_goes(text: str, left: str) -> None:
    """Tags, direction marks, joiners between Latin letters, runs of them, and those with nothing to join."""
    assert strip_hidden(text) == left


def test_the_character_before_counts() -> None:
    """A text that goes on where another ended keeps what joins the two."""
    assert strip_hidden("\u200cخ", before="ی") == "\u200cخ"
    assert strip_hidden("\u200cb", before="a") == "b"


@given(TEXT)
def test_nothing_visible_is_ever_lost(text: str) -> None:
    """Both leave every visible character in its order, and the stricter one no invisible one."""
    assert strip_invisible(strip_hidden(text)) == strip_invisible(text) == INVISIBLE.sub("", text)
