"""DOCX to Markdown-like text: headings by style, list items, table rows and paragraphs in document order."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping
from io import BytesIO

from docx import Document
from docx.document import Document as WordDocument
from docx.opc.exceptions import PackageNotFoundError
from docx.oxml.ns import qn
from docx.oxml.xmlchemy import BaseOxmlElement
from docx.styles.style import BaseStyle

from indexes.errors import DocumentTooLarge, UnreadableDocument
from indexes.parsing.blocks import Block, Parsed, heading, item_marker, joined, mended, one_line, table_row

MAX_ENTRIES = 10_000
MAX_UNPACKED_SHARE = 20
MAX_UNPACKED_BYTES = 400_000_000
# deflate packs at most about 1000 to 1, and office XML about 10 to 30 to 1.
MAX_RATIO = 100
RATIO_MATTERS_OVER_BYTES = 1_000_000
PROLOG_BYTES = 4_096
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
ENCRYPTED_FLAG = 0x1

ZIP_MARKERS = (b"PK\x03\x04", b"PK\x05\x06")
COMPOUND_FILE_MARKER = b"\xd0\xcf\x11\xe0"

HEADING_STYLE = re.compile(r"heading ([1-9])$", re.IGNORECASE)
MAX_STYLE_PARENTS = 10
FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
BREAKS = {qn("w:tab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "\u2011"}
# Texts that a reader of the page does not see: the old place of what was moved, and the other
# rendering of the same drawing. Deleted text needs no rule: its element is w:delText.
SKIPPED = frozenset({FALLBACK, qn("w:moveFrom"), qn("w:pPr"), qn("w:rPr"), qn("w:tblPr")})


def parse(data: bytes, *, max_bytes: int) -> Parsed:
    """Return the text of the body of a Word document and the title in its properties.

    Raises: `UnreadableDocument` for what is no DOCX or is damaged, `DocumentTooLarge` for a zip bomb.
    """
    if data.startswith(COMPOUND_FILE_MARKER):
        raise UnreadableDocument("an old .doc or a file with a password; save it as .docx without one")
    if not data.startswith(ZIP_MARKERS):
        raise UnreadableDocument("not a DOCX: the file is no zip archive")
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            refuse_bomb(archive, max_bytes=max_bytes)
            refuse_entities(archive)
        document = Document(BytesIO(data))
    except (zipfile.BadZipFile, EOFError) as error:
        raise UnreadableDocument("the DOCX is damaged: its zip archive cannot be read") from error
    except SyntaxError as error:  # lxml.etree.XMLSyntaxError is one
        raise UnreadableDocument("the DOCX is damaged: a part of it is not well-formed XML") from error
    except (PackageNotFoundError, AttributeError, KeyError, ValueError) as error:
        raise UnreadableDocument("not a DOCX: the zip archive holds no Word document") from error
    title = one_line(mended(document.core_properties.title))
    return Parsed(mended(joined(body_blocks(document))), title)


def refuse_bomb(archive: zipfile.ZipFile, *, max_bytes: int) -> None:
    """Raise `DocumentTooLarge` for an archive that unpacks to far more than a document would.

    zipfile never unpacks a member beyond its declared size, so the declared sizes bound the whole.
    Raises: `UnreadableDocument` for members that Word does not write.
    """
    members = archive.infolist()
    if len(members) > MAX_ENTRIES:
        raise DocumentTooLarge(f"the DOCX holds {len(members)} files; the limit is {MAX_ENTRIES}")
    limit = min(MAX_UNPACKED_SHARE * max_bytes, MAX_UNPACKED_BYTES)
    unpacked = sum(member.file_size for member in members)
    if unpacked > limit:
        raise DocumentTooLarge(f"the DOCX unpacks to {unpacked} bytes; the limit is {limit}")
    for member in members:
        if member.file_size > max(RATIO_MATTERS_OVER_BYTES, MAX_RATIO * member.compress_size):
            raise DocumentTooLarge(f"a part of the DOCX unpacks to over {MAX_RATIO} times its size")
        if member.compress_type not in METHODS or member.flag_bits & ENCRYPTED_FLAG:
            raise UnreadableDocument("the DOCX is encrypted or packed in a way that Word does not use")


def refuse_entities(archive: zipfile.ZipFile) -> None:
    """Raise `UnreadableDocument` if a part declares a DTD: Word writes none, entity bombs need one.

    python-docx leaves entities unresolved anyway; this gives the reason instead of missing text.
    """
    if any(b"<!DOCTYPE" in prolog for prolog in xml_prologs(archive)):
        raise UnreadableDocument("the DOCX declares XML entities, which Word never does")


def xml_prologs(archive: zipfile.ZipFile) -> Iterator[bytes]:
    """Yield the first bytes of every XML part."""
    for member in archive.infolist():
        if member.filename.lower().endswith((".xml", ".rels")):
            with archive.open(member) as part:
                yield part.read(PROLOG_BYTES)


def body_blocks(document: WordDocument) -> Iterator[Block]:
    """Yield the blocks of the body in document order."""
    levels = heading_levels(document)
    lists = list_styles(document)
    for element in body_elements(document.element.body):
        if element.tag == qn("w:tbl"):
            yield from table_rows(element)
        else:
            yield from paragraph_blocks(element, levels=levels, lists=lists)


def body_elements(parent: BaseOxmlElement) -> Iterator[BaseOxmlElement]:
    """Yield the paragraphs and tables below `parent`, those in content controls and insertions included."""
    for element in parent:
        if element.tag in (qn("w:p"), qn("w:tbl")):
            yield element
        elif isinstance(element.tag, str) and element.tag not in SKIPPED:
            yield from body_elements(element)


def heading_levels(document: WordDocument) -> dict[str, int]:
    """Return the heading level of each style id that is a heading, or is based on one; `Title` counts as 1."""
    levels: dict[str, int] = {}
    for style in document.styles:
        for name in style_names(style):
            match = HEADING_STYLE.match(name)
            if match or name.lower() == "title":
                levels[style.style_id] = int(match.group(1)) if match else 1
                break
    return levels


def list_styles(document: WordDocument) -> frozenset[str]:
    """Return the ids of the styles that are bullet or number lists, or are based on one."""
    return frozenset(
        style.style_id
        for style in document.styles
        if any(name.lower().startswith(("list bullet", "list number")) for name in style_names(style))
    )


def style_names(style: BaseStyle) -> Iterator[str]:
    """Yield the name of a style, then those it is based on, nearest first."""
    current: BaseStyle | None = style
    for _ in range(MAX_STYLE_PARENTS):
        if current is None:
            return
        yield current.name or ""
        current = getattr(current, "base_style", None)


def paragraph_blocks(
    paragraph: BaseOxmlElement, *, levels: Mapping[str, int], lists: frozenset[str]
) -> Iterator[Block]:
    """Yield the block of a paragraph: none if it has no text."""
    text = "".join(visible_text(paragraph)).strip()
    if not text:
        return
    style = value_of(paragraph, "w:pPr/w:pStyle") or ""
    number = value_of(paragraph, "w:pPr/w:numPr/w:numId")
    if style in levels:
        yield heading(levels[style], text)
    elif number not in (None, "0") or (number is None and style in lists):
        depth = value_of(paragraph, "w:pPr/w:numPr/w:ilvl") or "0"
        yield Block("item", item_marker(1 + (int(depth) if depth.isdecimal() else 0)) + one_line(text))
    else:
        yield Block("prose", text)


def table_rows(table: BaseOxmlElement) -> Iterator[Block]:
    """Yield the rows of a table; a merged cell counts once, a table in a cell becomes text of that cell."""
    for row in children(table, qn("w:tr")):
        cells = ["".join(visible_text(cell)) for cell in children(row, qn("w:tc"))]
        if any(cell.strip() for cell in cells):
            yield table_row(cells)


def children(parent: BaseOxmlElement, tag: str) -> Iterator[BaseOxmlElement]:
    """Yield the elements of `tag` right below `parent`, those in content controls and insertions included."""
    for element in parent:
        if element.tag == tag:
            yield element
        elif element.tag in (qn("w:sdt"), qn("w:sdtContent"), qn("w:ins"), qn("w:customXml")):
            yield from children(element, tag)


def visible_text(parent: BaseOxmlElement) -> Iterator[str]:
    """Yield the pieces of text below `parent` that a reader sees, inserted text and text boxes included.

    Recursive: libxml2 refuses XML over 256 levels deep.
    """
    for element in parent:
        tag = element.tag
        if tag == qn("w:t"):
            yield element.text or ""
        elif tag in BREAKS:
            yield BREAKS[tag]
        elif isinstance(tag, str) and tag not in SKIPPED and not is_vanished(element):
            yield from visible_text(element)
            if tag == qn("w:p"):
                yield "\n"


def is_vanished(element: BaseOxmlElement) -> bool:
    """Return whether an element is a run formatted as hidden text."""
    if element.tag != qn("w:r"):
        return False
    mark = element.find(f"{qn('w:rPr')}/{qn('w:vanish')}")
    return mark is not None and mark.get(qn("w:val"), "true") not in ("0", "false", "off")


def value_of(element: BaseOxmlElement, path: str) -> str | None:
    """Return the `w:val` of the element at `path` below `element`, None where there is none."""
    found = element.find("/".join(qn(step) for step in path.split("/")))
    return None if found is None else found.get(qn("w:val"))
