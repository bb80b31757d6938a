"""Small real files for the tests: PDF written by hand, DOCX by python-docx, zip archives as they come."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence

from docx import Document


def pdf_bytes(pages: Sequence[str], *, title: str = "", stream: bytes | None = None) -> bytes:
    """Return a PDF with one line of Latin text a page; `stream` replaces the packed content of every page."""
    kids = " ".join(f"{5 + 2 * at} 0 R" for at in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        f"<< /Title ({title}) >>".encode("latin-1"),
    ]
    for at, text in enumerate(pages):
        content = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET".encode("cp1252")
        packed = zlib.compress(content) if stream is None else stream
        resources = "<< /Font << /F1 3 0 R >> >>"
        box = "/MediaBox [0 0 612 792]"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R {box} /Contents {6 + 2 * at} 0 R /Resources {resources} >>".encode()
        )
        header = f"<< /Length {len(packed)} /Filter /FlateDecode >>".encode()
        objects.append(header + b"\nstream\n" + packed + b"\nendstream")
    return assembled(objects)


def assembled(objects: Sequence[bytes]) -> bytes:
    """Return a PDF of numbered objects with its cross-reference table; object 1 is the root, 4 the properties."""
    out = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n".encode() + body + b"\nendobj\n"
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{offset:010d} 00000 n \n".encode() for offset in offsets)
    out += f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def docx_bytes(*, title: str = "") -> bytes:
    """Return a Word document with headings, a paragraph, two lists and a table, in that order."""
    document = Document()
    document.core_properties.title = title
    document.add_heading("Handbook", 0)
    document.add_heading("Leave", 1)
    document.add_paragraph("Everyone has thirty days of leave.")
    document.add_paragraph("Ask early", style="List Bullet")
    document.add_paragraph("Plan well", style="List Number")
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(table._cells, ["Year", "Days", "2024", "30|31"], strict=True):
        cell.text = text
    document.add_heading("Sickness", 2)
    document.add_paragraph("Call before nine.")
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def with_body(xml: str) -> bytes:
    """Return a Word document whose body holds this WordprocessingML."""
    original = document_xml(docx_bytes())
    start, end = original.index("<w:body>") + len("<w:body>"), original.index("<w:sectPr")
    return with_part("word/document.xml", (original[:start] + xml + original[end:]).encode())


def document_xml(data: bytes) -> str:
    """Return the main part of a Word document."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read("word/document.xml").decode()


def with_part(name: str, content: bytes) -> bytes:
    """Return the sample Word document with one part replaced, or added."""
    with zipfile.ZipFile(io.BytesIO(docx_bytes())) as archive:
        parts = {member: archive.read(member) for member in archive.namelist()}
    return zip_bytes({**parts, name: content})


def zip_bytes(members: Mapping[str, bytes], *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a zip archive of these members."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()
