"""HTML to Markdown-like text: headings, list items, table rows, code and paragraphs that a reader sees."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.builder import ParserRejectedMarkup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from indexes.errors import UnreadableDocument
from indexes.parsing.blocks import (
    Block,
    BlockKind,
    Parsed,
    code,
    heading,
    item_marker,
    joined,
    mended,
    one_line,
    table_row,
)
from indexes.parsing.charset import decode_page

# Never part of what a reader sees as text, whatever they hold.
DROPPED_NAMES = (
    "annotation annotation-xml audio canvas datalist embed iframe noembed noframes noscript object script select "
    "style svg template title video"
)
DROPPED = frozenset(DROPPED_NAMES.split())
HEADINGS = {f"h{level}": level for level in range(1, 7)}
BLOCK_NAMES = (
    "address article aside blockquote body caption center dd details dialog dir div dl dt fieldset figcaption figure "
    "footer form header hgroup hr html legend li main menu nav ol optgroup p pre search section summary table tbody td "
    "tfoot th thead tr ul"
)
BLOCKS = frozenset(BLOCK_NAMES.split()) | frozenset(HEADINGS)
# What ends an element that was left open. Source: https://html.spec.whatwg.org/multipage/syntax.html#optional-tags
ROW_GROUPS = frozenset({"thead", "tbody", "tfoot"})
CLOSED_BY = {
    "p": BLOCKS,
    "li": frozenset({"li"}),
    "dt": frozenset({"dt", "dd"}),
    "dd": frozenset({"dt", "dd"}),
    "td": ROW_GROUPS | {"td", "th", "tr"},
    "th": ROW_GROUPS | {"td", "th", "tr"},
    "tr": ROW_GROUPS | {"tr"},
    **dict.fromkeys(ROW_GROUPS, ROW_GROUPS),
}
# A table that holds one of these lays out a page; its cells are no data.
LAYOUT_MARKS = ["table", "pre", *HEADINGS]
HIDDEN_STYLE = re.compile(r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*hidden)", re.IGNORECASE)
# As HTML defines white space: a no-break space is text.
SPACES = re.compile(r"[ \t\n\r\f]+")
BLANK_LINES = re.compile(r"\n{3,}")
PERMALINK = re.compile(r"\s*[¶\N{LINK SYMBOL}]$")


def parse(data: bytes, *, max_bytes: int) -> Parsed:  # noqa: ARG001 - every parser is called alike; the guard bounds the output
    """Return the visible text of a web page and its <title>.

    Raises: `InvalidText` for bytes that are not of its charset, `UnreadableDocument` for binary data.
    """
    soup = tree(decode_page(data))
    title = soup.find("title")
    page = Page()
    Walk(page).run(soup)
    named = one_line(title.get_text()) if title is not None and title.find_parent("svg") is None else ""
    return Parsed(mended(joined(page.blocks())), mended(named))


def tree(markup: str) -> BeautifulSoup:
    """Return the parsed page. Raises: `UnreadableDocument` for markup that the parser gives up on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice to the caller: "looks like XML", "looks like a file name"
        try:
            return BeautifulSoup(markup, "html.parser")
        except ParserRejectedMarkup as error:
            raise UnreadableDocument("the HTML is damaged beyond reading") from error


class Page:
    """Collects the blocks of a page from the visible elements and texts it is told of, in order."""

    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._inline: list[str] = []
        self._marker = ""
        self._heading = 0
        self._lists: list[int | None] = []
        self._tables: list[bool] = []
        self._row: list[str] = []
        self._pre: Tag | None = None

    def blocks(self) -> list[Block]:
        """Return the blocks so far, the open one included."""
        self._flush()
        return self._blocks

    def text(self, text: str) -> None:
        """Add text to the open block."""
        self._inline.append(text if self._pre is not None else SPACES.sub(" ", text))

    def open(self, tag: Tag) -> None:
        """Start an element; one that is not a block changes nothing."""
        name = tag.name
        if name == "br":
            self._inline.append("\n")
        elif name not in BLOCKS:
            return
        elif self._pre is not None or (self._in_data_table() and name not in CLOSED_BY and name != "caption"):
            self._inline.append("\n")
        elif not self._in_data_table() or name == "caption":
            self._flush()
            self._start(tag)
        elif name in ("td", "th"):
            self._flush()
        elif name in ("p", "li", "dt", "dd"):
            self._inline.append("\n")

    def close(self, tag: Tag) -> None:
        """End an element that was opened."""
        name = tag.name
        if name not in BLOCKS:
            return
        if self._pre is not None:
            self._end_code(tag)
        elif not self._in_data_table() or name == "caption":
            self._flush()
            self._end(name)
        elif name in ("td", "th"):
            self._row.append("".join(self._inline))
            self._inline.clear()
        elif name in ("tr", "table"):
            self._end_row()
            self._end(name)
        else:
            self._inline.append("\n")

    def _in_data_table(self) -> bool:
        """Return whether the innermost table holds data."""
        return bool(self._tables) and self._tables[-1]

    def _start(self, tag: Tag) -> None:
        """Note what the block that begins will be."""
        name = tag.name
        if name in HEADINGS:
            self._heading = HEADINGS[name]
        elif name in ("ul", "menu", "dir"):
            self._lists.append(None)
        elif name == "ol":
            start = str(tag.get("start", "1"))
            self._lists.append(int(start) - 1 if re.fullmatch(r"\d{1,4}", start, re.ASCII) else 0)
        elif name == "li":
            self._marker = self._next_marker()
        elif name == "table":
            self._tables.append(tag.find(LAYOUT_MARKS) is None)
        elif name == "pre":
            self._pre = tag

    def _end(self, name: str) -> None:
        """Forget what the block that ended was."""
        if name in HEADINGS:
            self._heading = 0
        elif name in ("ul", "ol", "menu", "dir") and self._lists:
            self._lists.pop()
        elif name == "li":
            self._marker = ""
        elif name == "table" and self._tables:
            self._tables.pop()

    def _next_marker(self) -> str:
        """Return the start of the next list item, and count it."""
        if not self._lists or self._lists[-1] is None:
            return item_marker(max(1, len(self._lists)))
        self._lists[-1] += 1
        return item_marker(len(self._lists), number=self._lists[-1])

    def _flush(self) -> None:
        """Close the open block; one without text leaves nothing, and its marker stays for the next."""
        lines = (SPACES.sub(" ", line).strip(" ") for line in "".join(self._inline).split("\n"))
        self._inline.clear()
        text = BLANK_LINES.sub("\n\n", "\n".join(lines)).strip("\n")
        if not text:
            return
        if self._heading:
            block = heading(self._heading, PERMALINK.sub("", text))
        else:
            kind: BlockKind = "item" if self._marker else "prose"
            block = Block(kind, self._marker + (one_line(text) if self._marker else text))
        self._marker = ""
        self._blocks.append(block)

    def _end_code(self, tag: Tag) -> None:
        """Close the code block if `tag` opened it, else end a line of it."""
        if tag is not self._pre:
            self._inline.append("\n")
            return
        text = "".join(self._inline).removeprefix("\n").rstrip()
        self._inline.clear()
        self._pre = None
        if text.strip():
            self._blocks.append(code(text))

    def _end_row(self) -> None:
        """Close the table row that is open; a row without text leaves nothing."""
        if any(cell.strip() for cell in self._row):
            self._blocks.append(table_row(self._row))
        self._row.clear()
        self._flush()


class Walk:
    """Tells a page of the visible elements in document order, and of ends that the markup left out.

    Iterative: pages nest deeper than Python recurses.
    """

    def __init__(self, page: Page) -> None:
        self._page = page
        self._open: list[Tag] = []
        self._hidden: Tag | None = None

    def run(self, root: Tag) -> None:
        """Walk everything below `root`."""
        frames: list[tuple[Tag, Iterator[PageElement]]] = [(root, iter(root.contents))]
        while frames:
            tag, children = frames[-1]
            child = next(children, None)
            if child is None:
                frames.pop()
                if self._open and self._open[-1] is tag:
                    self._close()
            elif isinstance(child, Tag):
                if child.name not in DROPPED:
                    self._enter(child)
                    frames.append((child, iter(child.contents)))
            elif self._hidden is None and is_text(child):
                self._page.text(str(child))

    def _enter(self, tag: Tag) -> None:
        """Close what `tag` ends by itself, then open it."""
        while self._open and tag.name in CLOSED_BY.get(self._open[-1].name, ()):
            self._close()
        self._open.append(tag)
        if self._hidden is None:
            if is_hidden(tag):
                self._hidden = tag
            else:
                self._page.open(tag)

    def _close(self) -> None:
        """Close the innermost open element."""
        tag = self._open.pop()
        if self._hidden is None:
            self._page.close(tag)
        elif tag is self._hidden:
            self._hidden = None


def is_text(node: PageElement) -> bool:
    """Return whether a node is text, and not a comment, doctype or processing instruction."""
    return isinstance(node, NavigableString) and not isinstance(node, PreformattedString)


def is_hidden(tag: Tag) -> bool:
    """Return whether a browser would not show the element, as far as its own attributes say."""
    if tag.has_attr("hidden") or (tag.name == "dialog" and not tag.has_attr("open")):
        return True
    return bool(HIDDEN_STYLE.search(str(tag.get("style", ""))))
