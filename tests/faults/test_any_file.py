"""Files of any bytes end in text or in a typed error: the same random examples in every run."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from indexes.errors import DocumentError, InvalidText, UnreadableDocument
from indexes.loading import load_file
from indexes.parsing.__main__ import reply
from indexes.parsing.blocks import mended
from indexes.parsing.webpage import parse
from tests.environment import campaign_examples
from tests.indexes.sample_files import docx_bytes, pdf_bytes

MAX_BYTES = 20_000_000
PDF = pdf_bytes(["Hello world"] * 3)
DOCX = docx_bytes()
# The same examples in every run, however slow the machine. What a test records, it adds up over its examples.
STEADY = settings(
    deadline=None,
    derandomize=True,
    max_examples=campaign_examples(50),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Record = Callable[[str, object], None]


def outcome(name: str, data: bytes) -> str:
    """Return "text" for a file that loads, else the code of its error; any other exception passes."""
    try:
        load_file(name, data, max_bytes=MAX_BYTES)
    except DocumentError as error:
        return error.code
    return "text"


@given(st.binary(max_size=300))
@STEADY
def test_any_bytes_as_text_are_loaded_or_refused(record_property: Record, data: bytes) -> None:
    """Plain text never ends in anything but text or a typed error."""
    record_property("files", 1)
    assert outcome("a.txt", data) in {"text", "empty_text", "invalid_text", "unreadable_document"}


MARKUP = (
    "<p> </p> <table> </table> <td> <tr/hidden> <pre> </pre> <li> <ol/start='9'> <h1> <br> <!-- --> <![CDATA[ <? <! "
    "&#xD800; &amp <script> <a/b=' x é"
)
FRAGMENTS = [*MARKUP.split(), "\n"]


@given(st.lists(st.sampled_from(FRAGMENTS), max_size=40))
@STEADY
def test_any_markup_gives_a_text(record_property: Record, fragments: list[str]) -> None:
    """Tags in any order, closed or not, give valid text."""
    record_property("files", 1)
    text = parse("".join(fragments).encode(), max_bytes=MAX_BYTES).text
    assert text == mended(text)


@given(st.binary(max_size=300))
@STEADY
def test_any_bytes_as_html_are_read_or_refused(record_property: Record, data: bytes) -> None:
    """The HTML parser ends in text or in a typed error of its own, without the net of the subprocess."""
    record_property("files", 1)
    with suppress(InvalidText, UnreadableDocument):
        text = parse(data, max_bytes=MAX_BYTES).text
        assert text == mended(text)


@st.composite
def damaged(draw: st.DrawFn, original: bytes) -> bytes:
    """Return a real file with one to four stretches overwritten, cut out or repeated."""
    data = original
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, max(0, len(data) - 1)))
        end = start + draw(st.integers(0, 40))
        data = (
            data[:start] + draw(st.sampled_from([draw(st.binary(max_size=8)), data[start:end] * 2, b""])) + data[end:]
        )
    return data


@given(st.one_of(damaged(PDF), damaged(DOCX), st.binary(max_size=200)), st.sampled_from([".pdf", ".docx"]))
@settings(STEADY, max_examples=campaign_examples(80))
def test_every_file_gets_a_reply(record_property: Record, data: bytes, suffix: str) -> None:
    """The reply to any bytes is a title and valid text, or a known error code and one sentence."""
    record_property("files", 1)
    header, _, text = reply(suffix, data, max_bytes=MAX_BYTES).partition(b"\n")
    fields = json.loads(header)
    if "error" in fields:
        assert fields["error"] in ("unreadable_document", "document_too_large")
        assert len(fields["detail"].splitlines()) == 1
    else:
        assert isinstance(fields["title"], str)
        assert mended(text.decode()) == text.decode()


@pytest.mark.parametrize(("name", "original"), [("a.pdf", PDF), ("a.docx", DOCX)])
@given(data=st.data())
@settings(STEADY, max_examples=campaign_examples(10, times=20))
def test_the_guarded_process_survives_any_file(
    record_property: Record, name: str, original: bytes, data: st.DataObject
) -> None:
    """Damaged files through the real subprocess end in text or a typed error."""
    record_property("files", 1)
    assert outcome(name, data.draw(damaged(original))) in {"text", "unreadable_document", "document_too_large"}
