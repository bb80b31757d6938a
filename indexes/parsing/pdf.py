"""PDF to text: the text layer of its pages, in page order."""

from __future__ import annotations

from io import BytesIO

from pypdf import PdfReader
from pypdf.errors import DependencyError, LimitReachedError, PyPdfError

from indexes.errors import DocumentTooLarge, UnreadableDocument
from indexes.parsing.blocks import Parsed, mended, one_line

MAX_PAGES = 5_000
# Readers accept the marker anywhere in the first kilobyte. Source: ISO 32000-1, implementation note 13.
MARKER = b"%PDF-"
MARKER_WITHIN_BYTES = 1024


def parse(data: bytes, *, max_bytes: int) -> Parsed:
    """Return the text of the pages, a blank line between two, and the title the file names.

    Raises: `UnreadableDocument` for what is no PDF, is encrypted, damaged or has no text layer;
    `DocumentTooLarge` over 5,000 pages, over `max_bytes` of text, or for a stream that unpacks
    beyond the limits of pypdf.
    """
    if MARKER not in data[:MARKER_WITHIN_BYTES]:
        raise UnreadableDocument("not a PDF: the file does not start with %PDF-")
    try:
        reader = opened(data)
        pages = page_texts(reader, max_bytes=max_bytes)
        title = reader.metadata.title if reader.metadata is not None else None
    except DependencyError as error:
        raise UnreadableDocument("the PDF is encrypted in a way that cannot be read here") from error
    except LimitReachedError as error:
        raise DocumentTooLarge("a part of the PDF unpacks to more, or refers to more, than is allowed") from error
    except PyPdfError as error:
        raise UnreadableDocument("the PDF is damaged") from error
    return Parsed("\n\n".join(pages), one_line(mended(str(title or ""))))


def opened(data: bytes) -> PdfReader:
    """Return a reader of a PDF that needs no password. Raises: `UnreadableDocument` for one that does."""
    reader = PdfReader(BytesIO(data), strict=False)
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableDocument("the PDF needs a password; save it without one")
    return reader


def page_texts(reader: PdfReader, *, max_bytes: int) -> list[str]:
    """Return the text of every page that has some.

    Raises: `UnreadableDocument` if none has, `DocumentTooLarge` over the limits of pages and text.
    """
    count = len(reader.pages)
    if count > MAX_PAGES:
        raise DocumentTooLarge(f"the PDF has {count} pages; the limit is {MAX_PAGES}")
    texts: list[str] = []
    size = 0
    for page in reader.pages:
        text = "\n".join(line.rstrip() for line in mended(page.extract_text()).split("\n")).strip("\n")
        size += len(text)
        if size > max_bytes:
            raise DocumentTooLarge(f"the text of the PDF is over {max_bytes} bytes")
        if text.strip():
            texts.append(text)
    if not texts:
        raise UnreadableDocument("the PDF has no text layer; OCR it first")
    return texts
