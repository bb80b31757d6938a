"""Hostile, damaged and mislabelled files end in a typed error with one clear sentence, never worse."""

from __future__ import annotations

import io
import signal
import subprocess
import sys
import zipfile
import zlib

import pytest
from pypdf import PdfReader, PdfWriter

from indexes.errors import DocumentError, DocumentTooLarge, EmptyText, InvalidText, UnreadableDocument
from indexes.loading import SUPPORTED_SUFFIXES, died_of, exchange, load_file, read_guarded
from indexes.parsing.__main__ import CPU_S, MEMORY_BYTES, OPEN_FILES
from tests.indexes.sample_files import document_xml, docx_bytes, pdf_bytes, with_body, with_part, zip_bytes

MAX_BYTES = 20_000_000
PDF = pdf_bytes(["Hello world"] * 3)
DOCX = docx_bytes()


def refusal(name: str, data: bytes, *, max_bytes: int = MAX_BYTES) -> DocumentError:
    """Return the error that loading this file raises; it must be one line for a person."""
    with pytest.raises(DocumentError) as refused:
        load_file(name, data, max_bytes=max_bytes)
    assert "Traceback" not in str(refused.value)
    assert 0 < len(str(refused.value).splitlines()) < 2
    return refused.value


def encrypted(data: bytes, *, user_password: str) -> bytes:
    """Return a PDF encrypted with RC4, which pypdf does without another package."""
    writer = PdfWriter(clone_from=io.BytesIO(data))
    writer.encrypt(user_password, "owner", algorithm="RC4-128")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


# Not what the name says


@pytest.mark.parametrize("suffix", sorted(SUPPORTED_SUFFIXES))
def test_no_bytes_are_an_empty_text(suffix: str) -> None:
    """A file of zero bytes is empty, whatever its format."""
    assert isinstance(refusal(f"a{suffix}", b""), EmptyText)


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.pdf", b"Just some text", "not a PDF"),
        ("a.pdf", DOCX, "not a PDF"),
        ("a.docx", b"Just some text", "not a DOCX"),
        ("a.docx", PDF, "not a DOCX"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old .doc"),
        ("a.docx", zip_bytes({"readme.txt": b"hello"}), "no Word document"),
        ("a.docx", zip_bytes({"[Content_Types].xml": b"<Types/>"}), "no Word document"),
        ("a.html", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("a.txt", PDF, "a PDF"),
        ("a.md", DOCX, "a zip archive"),
    ],
)
def test_a_file_that_is_not_what_its_suffix_says_is_unreadable(name: str, data: bytes, says: str) -> None:
    """The content is checked against the suffix, and the error says what is wrong."""
    error = refusal(name, data)
    assert isinstance(error, UnreadableDocument)
    assert says in error.detail


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("a.txt", b"abc\xffdef", "byte 3 (0xff)"),
        ("a.txt", b"\xef\xbb\xbfabc\xff", "byte 6 (0xff)"),
        ("a.txt", b"\xff\xfea\0\0\xd8", "byte 4"),
        ("a.txt", "no mark".encode("utf-16-le"), "UTF-16"),
        ("a.md", b"caf\xe9", "byte 3 (0xe9)"),
        ("a.html", b"<p>caf\xe9", "byte 6 (0xe9)"),
    ],
)
def test_bytes_of_another_encoding_are_refused_with_their_place(name: str, data: bytes, says: str) -> None:
    """Text that does not decode is never guessed at: the error names the first wrong byte."""
    error = refusal(name, data)
    assert isinstance(error, InvalidText)
    assert says in error.detail


@pytest.mark.parametrize("name", ["a.txt", "a.html", "a.pdf", "a.docx"])
def test_a_file_over_the_limit_is_too_large(name: str) -> None:
    """The size of the file is checked before anything reads it."""
    assert isinstance(refusal(name, b"x" * 101, max_bytes=100), DocumentTooLarge)


@pytest.mark.parametrize(
    ("name", "data"),
    [("a.html", b"<p> &nbsp;&#8203;</p>"), ("a.docx", with_body("<w:p/>")), ("a.txt", b"\xef\xbb\xbf")],
)
def test_a_file_without_text_is_empty(name: str, data: bytes) -> None:
    """A well-formed file that shows a reader nothing is empty."""
    assert isinstance(refusal(name, data), EmptyText)


# HTML


@pytest.mark.parametrize(
    "data",
    [
        b"<div>" * 100_000 + b"x" + b"</div>" * 100_000,
        b"<p>" * 20_000 + b"x",
        b"<ul><li>" * 5_000 + b"x",
        b"<table><tr><td>" * 500 + b"x",
        b"</div>" * 100_000 + b"x",
    ],
    ids=["div", "unclosed p", "list", "table", "ends only"],
)
def test_deep_nesting_is_read(data: bytes) -> None:
    """Markup that nests far deeper than Python recurses is still read."""
    assert "x" in load_file("a.html", data, max_bytes=MAX_BYTES).text


def test_output_over_the_limit_is_cut_off() -> None:
    """A page whose text is larger than the file itself is refused, not kept in memory."""
    page = b"<ol start=1000>" + b"<li>x" * 2_000 + b"</ol>"
    assert isinstance(refusal("a.html", page, max_bytes=len(page)), DocumentTooLarge)
    with pytest.raises(DocumentTooLarge):
        read_guarded(".html", b"<p>" + b"x" * 500_000, max_bytes=1_000)


def test_a_file_that_takes_too_much_memory_is_unreadable() -> None:
    """The parser runs out of its own memory, not of the service's."""
    page = "😀".encode() + b"x" * 100_000_000  # four bytes a character, once one of them needs that
    error = refusal("a.html", page, max_bytes=200_000_000)
    assert isinstance(error, UnreadableDocument)
    assert "memory" in error.detail


def test_a_file_that_takes_too_long_is_unreadable() -> None:
    """A page that its parser needs minutes for is given up when time is up."""
    with pytest.raises(UnreadableDocument, match="took over 1 seconds"):
        read_guarded(".html", b"<!--" * 500_000, max_bytes=MAX_BYTES, timeout_s=1)


def test_a_parser_that_dies_before_it_reads_is_no_broken_pipe() -> None:
    """A process that crashes on the way gives no output, and its exit code tells the sentence."""
    command = [sys.executable, "-c", "import os; os.abort()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert exchange(process, b"x" * 1_000_000, limit=100) == b""
    assert "crashed" in died_of(process.returncode)
    assert "processor time" in died_of(-signal.SIGXCPU)


def test_the_parser_limits_itself() -> None:
    """Memory, CPU time, open files, file size and core dumps are capped before a byte is read."""
    script = (
        "import resource as r; from indexes.parsing.__main__ import limit_resources; limit_resources();"
        "limits = (r.RLIMIT_CPU, r.RLIMIT_NOFILE, r.RLIMIT_FSIZE, r.RLIMIT_CORE, r.RLIMIT_AS);"
        "print(*[r.getrlimit(limit)[1] for limit in limits])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    limits = [int(word) for word in done.stdout.split()]
    assert limits[:4] == [CPU_S, OPEN_FILES, 0, 0]
    assert limits[4] == MEMORY_BYTES or sys.platform == "darwin"


# PDF


@pytest.mark.parametrize("length", [10, 100, 500, len(PDF) // 2, len(PDF) - 60])
def test_a_truncated_pdf_is_unreadable(length: int) -> None:
    """A PDF that was cut off is damaged, whatever is missing."""
    assert isinstance(refusal("a.pdf", PDF[:length]), UnreadableDocument)


@pytest.mark.parametrize("pages", [[], [""], ["", "  "]])
def test_a_pdf_without_text_asks_for_ocr(pages: list[str]) -> None:
    """Scanned pages have no text layer: the error says what to do."""
    error = refusal("scan.pdf", pdf_bytes(pages))
    assert isinstance(error, UnreadableDocument)
    assert "no text layer; OCR it first" in error.detail


def test_a_pdf_with_a_password_says_so() -> None:
    """A PDF that needs a password is refused, one that only restricts its owner's rights is read."""
    assert "password" in refusal("a.pdf", encrypted(PDF, user_password="secret")).detail
    assert "Hello world" in load_file("a.pdf", encrypted(PDF, user_password=""), max_bytes=MAX_BYTES).text


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_a_pdf_that_only_restricts_printing_is_read(algorithm: str) -> None:
    """Most encrypted PDFs open without a password, whichever way they are encrypted; the others say so."""
    for password, readable in (("", True), ("secret", False)):
        writer = PdfWriter(clone_from=PdfReader(io.BytesIO(PDF)))
        writer.encrypt(user_password=password, owner_password="owner", algorithm=algorithm)
        written = io.BytesIO()
        writer.write(written)
        if readable:
            assert "Hello world" in load_file("a.pdf", written.getvalue(), max_bytes=MAX_BYTES).text
        else:
            assert "password" in refusal("a.pdf", written.getvalue()).detail


def test_a_pdf_of_too_many_pages_is_too_large() -> None:
    """Over 5,000 pages nothing is read."""
    assert isinstance(refusal("a.pdf", pdf_bytes(["x"] * 5_001)), DocumentTooLarge)


def test_a_pdf_that_unpacks_to_far_more_is_too_large() -> None:
    """A packed page of 200 MB of spaces is stopped while it unpacks."""
    bomb = pdf_bytes(["x"], stream=zlib.compress(b"BT " + b" " * 200_000_000))
    assert isinstance(refusal("a.pdf", bomb), DocumentTooLarge)


# DOCX


@pytest.mark.parametrize("length", [10, 1_000, len(DOCX) // 2, len(DOCX) - 30])
def test_a_truncated_docx_is_unreadable(length: int) -> None:
    """A DOCX that was cut off is damaged, whatever is missing."""
    assert isinstance(refusal("a.docx", DOCX[:length]), UnreadableDocument)


@pytest.mark.parametrize(
    "bomb",
    [
        with_part("word/media/image.bmp", b"\0" * 30_000_000),
        with_part("word/document.xml", b"<a>" + b" " * 30_000_000),
        zip_bytes({f"part{number}": b"" for number in range(10_001)}),
        zip_bytes({f"part{number}": b"\0" * 900_000 for number in range(30)}),
    ],
    ids=["media", "text", "many parts", "total"],
)
def test_a_zip_bomb_is_too_large(bomb: bytes) -> None:
    """An archive is judged by what it declares, before anything is unpacked."""
    assert isinstance(refusal("a.docx", bomb, max_bytes=1_000_000), DocumentTooLarge)


def test_members_that_lie_about_their_size_unpack_no_further() -> None:
    """A member that declares a few bytes and holds 30 MB is damaged, and only those bytes are unpacked."""
    bomb = bytearray(with_part("word/document.xml", b"<a>" + b" " * 30_000_000))
    true_size = (30_000_003).to_bytes(4, "little")
    assert bomb.count(true_size) >= 2
    assert isinstance(refusal("a.docx", bytes(bomb).replace(true_size, (50).to_bytes(4, "little"))), UnreadableDocument)


def test_entities_are_refused() -> None:
    """A document that declares XML entities, as an entity bomb must, is refused with the reason."""
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    bomb = document_xml(DOCX).replace("<w:document", f'<!DOCTYPE d [<!ENTITY e0 "lol">{levels}]><w:document', 1)
    assert "entities" in refusal("a.docx", with_part("word/document.xml", bomb.encode())).detail


@pytest.mark.parametrize(
    "data",
    [
        with_part("word/document.xml", b"<w:document><broken"),
        with_part("word/styles.xml", b"\xff\xfe\0"),
        with_part("[Content_Types].xml", b"<Types>"),
        with_part("_rels/.rels", b""),
        with_body("<w:p>" * 5_000 + "</w:p>" * 5_000),
        zip_bytes({"word/document.xml": b"x"}, method=zipfile.ZIP_BZIP2),
    ],
    ids=["document", "styles", "types", "relations", "depth", "method"],
)
def test_a_docx_with_damaged_parts_is_unreadable(data: bytes) -> None:
    """A broken part, XML nested too deep or a foreign packing ends in one typed error."""
    assert isinstance(refusal("a.docx", data), UnreadableDocument)
