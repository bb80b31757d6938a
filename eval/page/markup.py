"""Elements of HTML and SVG as text, everything escaped that is not an element itself."""

from __future__ import annotations

import html
from typing import TypeAlias


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Content: TypeAlias = str
Attribute: TypeAlias = str | float | None

# Never with an end tag in HTML. Elements of SVG always have one.
VOID = frozenset({"meta"})


def tag(name: str, /, *content: Content, **attributes: Attribute) -> Markup:
    """Return an element. Content that is not `Markup` is escaped; an attribute that is None is left out.

    The name of an attribute loses an underscore at its end, and the others become hyphens: `class_`, `aria_label`.
    """
    written = "".join(
        f' {key.removesuffix("_").replace("_", "-")}="{html.escape(shown(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{joined(*content)}</{name}>")


def joined(*content: Content) -> Markup:
    """Return pieces one after the other, each escaped unless it is markup."""
    return Markup("".join(part if isinstance(part, Markup) else html.escape(part) for part in content))


def shown(value: str | float) -> str:
    """Return an attribute's value; a number with at most two digits after the point."""
    return value if isinstance(value, str) else f"{round(value, 2):g}" if abs(value) < 1e5 else f"{value:.0f}"


def digits_of(*numbers: float) -> int:
    """Return how many digits after the point the largest of the numbers deserves: three significant ones or more."""
    size = max(abs(number) for number in numbers)
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size > 1 else 3


def signed(number: float, digits: int | None = None) -> str:
    """Return a number with its sign, a true minus, and the digits its size deserves unless told; 0 has no sign."""
    text = plain(abs(number), digits_of(number) if digits is None else digits)
    return ("" if float(text.replace(",", "")) == 0 else "+" if number > 0 else "−") + text


def plain(number: float, digits: int | None = None) -> str:
    """Return a number with thousands apart, a true minus, and the digits its size deserves unless told."""
    return f"{number:,.{digits_of(number) if digits is None else digits}f}".replace("-", "−")


def percent(share: float) -> str:
    """Return a share as percent with one digit after the point, without the sign."""
    return f"{100 * share:.1f}"
