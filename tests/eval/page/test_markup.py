"""Elements, escaping and numbers."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eval.page.markup import joined, percent, plain, signed, tag


def test_attributes_and_content_become_an_element() -> None:
    """Underscores become hyphens, a last one goes, None is left out, numbers are short."""
    written = tag("g", tag("line", x1=1 / 3, class_="a", aria_label=None), "2 < 3", stroke_width=2.0)
    assert written == '<g stroke-width="2"><line x1="0.33" class="a"></line>2 &lt; 3</g>'
    assert tag("meta", charset="utf-8") == '<meta charset="utf-8">'


class Elements(HTMLParser):
    """What a browser would find: elements with their attributes, and the text between them."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element."""
        self.elements.append((tag, attrs))

    def handle_data(self, data: str) -> None:
        """Note a text."""
        self.text += data


@given(st.text(), st.text())
def test_no_text_becomes_markup(content: str, value: str) -> None:
    """Whatever stands in a text or an attribute is read back as it was, and adds no element."""
    found = Elements(tag("p", content, title=value))
    assert found.elements == [("p", [("title", value)])]
    assert found.text == content


def test_pieces_are_escaped_unless_they_are_elements() -> None:
    """An element stays, a text does not."""
    assert joined(tag("b", "x"), "<b>") == "<b>x</b>&lt;b&gt;"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3987.4, "3,987"), (15.886, "15.9"), (1.25, "1.25"), (0.8796, "0.880"), (-0.5, "−0.500"), (0, "0.000")],
)
def test_a_number_has_the_digits_its_size_deserves(number: float, expected: str) -> None:
    """Three significant digits or more, thousands apart, a true minus."""
    assert plain(number) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(0.021, "+0.021"), (-4.31, "−4.31"), (0, "0.000"), (-0.0001, "0.000")]
)
def test_a_difference_has_a_sign(number: float, expected: str) -> None:
    """A plus or a true minus; none for what is 0 as it is written."""
    assert signed(number) == expected


def test_a_share_in_percent_has_one_digit() -> None:
    """0.8796 is 88.0."""
    assert percent(0.8796) == "88.0"
