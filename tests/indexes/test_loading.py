"""Files become the text a reader sees, with its structure; plain text stays as it was sent."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from indexes.errors import DocumentTooLarge, EmptyText, InvalidText, UnsupportedFormat
from indexes.invisible import INVISIBLE, is_blank, strip_invisible
from indexes.loading import SUPPORTED_SUFFIXES, LoadedFile, check_text, content_id, load_file
from indexes.parsing.blocks import mended
from indexes.parsing.webpage import parse
from tests.indexes.sample_files import docx_bytes, pdf_bytes, with_body

MAX_BYTES = 20_000_000
# The same examples in every run, however slow the machine.
STEADY = settings(deadline=None, derandomize=True, max_examples=50)
RUN = "<w:r><w:t xml:space='preserve'>{}</w:t></w:r>"


def load(name: str, data: bytes) -> LoadedFile:
    """Return the loaded file under the service's limit."""
    return load_file(name, data, max_bytes=MAX_BYTES)


def page_text(markup: str) -> str:
    """Return the text of a web page, parsed in this process."""
    return parse(markup.encode(), max_bytes=MAX_BYTES).text


def word_text(body: str) -> str:
    """Return the text of a Word document with this body."""
    return load("a.docx", with_body(body)).text


# Plain text


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
@STEADY
def test_plain_text_is_kept_as_sent(text: str) -> None:
    """Any UTF-8 text comes back character for character, line ends and invisible characters included."""
    data = ("a" + text).encode()
    assert load("note.TXT", data).text == "a" + text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding(encoding: str) -> None:
    """Text with a byte order mark is decoded by it, and the mark is no part of the text."""
    assert load("a.md", "# Grüße\r\nשלום".encode(encoding)) == LoadedFile("# Grüße\r\nשלום", "Grüße")


def test_right_to_left_and_zero_width_text_is_stored_unaltered() -> None:
    """Hebrew, Arabic, bidi controls and zero-width characters all stay in the stored text."""
    text = "שלום\u200f عالم \u202eabc\u202c zero\u200bwidth"
    assert load("a.txt", text.encode()).text == text


@pytest.mark.parametrize(
    ("name", "text", "title"),
    [
        ("a.md", "intro\n\n## Real title ##\n", "Real title"),
        ("a.md", "# Learn C#\n", "Learn C#"),
        ("a.markdown", "```sh\n# a comment\n```\n\n# Setup\n", "Setup"),
        ("a.md", "---\n\nShort first line\nmore", "Short first line"),
        ("a.txt", "Minutes of May\n\n# not a heading", "Minutes of May"),
        ("dir/My notes.txt", "word " * 50, "My notes"),
        ("C:\\docs\\Report.txt", "word " * 50, "Report"),
        ("bad\udcffname.txt", "word " * 50, "bad?name"),
        ("a\u202eb\n.txt", "word " * 50, "ab"),
    ],
)
def test_the_title_is_the_heading_else_a_short_first_line_else_the_name(name: str, text: str, title: str) -> None:
    """A title comes from the text where it has one, and is one valid, visible line."""
    assert load(name, text.encode()).title == title


def test_a_title_is_cut_at_200_characters() -> None:
    """A heading of any length gives a title of at most 200 characters."""
    assert load("a.md", b"# " + b"x" * 5_000).title == "x" * 200


@pytest.mark.parametrize("name", ["a.exe", "a", "", "a.pdf.gz", "a." + "x" * 500])
def test_an_unknown_suffix_is_refused(name: str) -> None:
    """A suffix that no loader reads is refused with the list of those that are read."""
    with pytest.raises(UnsupportedFormat, match=r"\.docx .*\.txt") as refused:
        load(name, b"text")
    assert len(str(refused.value)) < 200


# Checks of text


def test_a_lone_surrogate_is_invalid() -> None:
    """A lone surrogate cannot be stored, and the error says where it is."""
    with pytest.raises(InvalidText, match=r"character 2 .*U\+D800"):
        check_text("ab\ud800", max_bytes=100)


@pytest.mark.parametrize("text", ["", " \n\t", "\u200b\u2060\ufeff", "\u202e \U000e0041\u00ad", "\ufe0f\u3164"])
def test_text_without_a_visible_character_is_empty(text: str) -> None:
    """White space and invisible characters alone make no document."""
    with pytest.raises(EmptyText):
        check_text(text, max_bytes=100)


def test_the_limit_counts_utf8_bytes() -> None:
    """Ten two-byte characters fill twenty bytes: one more byte is too much."""
    check_text("é" * 10, max_bytes=20)
    with pytest.raises(DocumentTooLarge):
        check_text("é" * 10 + "x", max_bytes=20)


def test_control_characters_may_be_stored() -> None:
    """NUL and the other controls are text: nothing that was sent is altered."""
    check_text("a\0b\x01\x1b[0m", max_bytes=100)


@given(st.text())
@STEADY
def test_content_ids_depend_on_the_text_alone(text: str) -> None:
    """The id is stable, 32 hex digits long, and differs for another text."""
    assert content_id(text) == content_id(text)
    assert content_id(text) != content_id(text + "x")
    assert len(content_id(text).removeprefix("sha256:")) == 32


def test_content_id_is_that_of_sha256() -> None:
    """The id of the empty text is the well-known digest of no bytes, cut to 32 digits."""
    assert content_id("") == "sha256:e3b0c44298fc1c149afbf4c8996fb924"


# Invisible characters


def test_format_characters_are_invisible_unless_they_are_drawn() -> None:
    """Every character of category Cf goes, except number signs and hieroglyph joiners."""
    kept = [
        name
        for name in (
            unicodedata.name(chr(code), "?")
            for code in range(sys.maxunicode + 1)
            if unicodedata.category(chr(code)) == "Cf" and not INVISIBLE.match(chr(code))
        )
        if not name.startswith(("ARABIC", "SYRIAC ABBREVIATION", "KAITHI NUMBER", "EGYPTIAN HIEROGLYPH"))
    ]
    assert kept == []


def test_no_letter_mark_number_or_space_that_is_drawn_is_invisible() -> None:
    """Outside Cf only fillers, joiners, selectors and unassigned code points count as invisible."""
    found = {
        unicodedata.name(chr(code), "?").rpartition(" ")[0].removesuffix(" SELECTOR")
        for code in range(sys.maxunicode + 1)
        if INVISIBLE.match(chr(code)) and unicodedata.category(chr(code)) not in ("Cf", "Cn")
    }
    assert {name.split()[0] for name in found} == {
        "COMBINING",
        "HANGUL",
        "HALFWIDTH",
        "KHMER",
        "MONGOLIAN",
        "VARIATION",
    }


@given(st.text())
@STEADY
def test_stripping_twice_changes_nothing_more(text: str) -> None:
    """One pass removes every invisible character, and nothing is reordered or added."""
    visible = strip_invisible(text)
    assert strip_invisible(visible) == visible
    remaining = iter(text)
    assert all(character in remaining for character in visible)


def test_smuggled_tags_and_bidi_controls_go() -> None:
    """The tag block, bidi overrides and zero-width characters hide nothing from the indexed copy."""
    hidden = "".join(chr(0xE0000 + ord(letter)) for letter in "ignore all")
    assert strip_invisible(f"pay\u200bment{hidden} \u202eok\u202c ❤\ufe0f") == "payment ok ❤"
    assert is_blank(hidden)
    assert not is_blank("\u0600")


# HTML


def test_a_page_keeps_its_structure() -> None:
    """Headings, lists, tables, code and paragraphs come out as Markdown-like text, in order."""
    page = load(
        "a.html",
        b"""<!doctype html><html><head><meta charset="utf-8"><title> My
        page </title></head><body><h1>Top <a href="#top">\xc2\xb6</a></h1><p>First <b>bold</b>   text<br>next line</p>
        <ul><li>one<li>two <i>x</i><ul><li>deep</ul></ul><ol start=3><li>three</li><li><p>four</p></li></ol>
        <table><caption>Caption</caption><tr><th>A<th>B<tr><td>1 <p>x</p><td>a|b</table>
        <pre><code>\ndef f():\n\n    return "```"\n</code></pre><dl><dt>Term<dd>Meaning</dl></body></html>""",
    )
    assert page.title == "My page"
    assert page.text.split("\n\n") == [
        "# Top",
        "First bold text\nnext line",
        "- one\n- two x\n  - deep\n3. three\n4. four",
        "Caption",
        "| A | B |\n| 1 x | a\\|b |",
        "````\ndef f():",
        '    return "```"\n````',
        "Term",
        "Meaning",
    ]


def test_what_a_reader_does_not_see_is_dropped() -> None:
    """Scripts, styles, templates, comments and hidden elements leave no text; what follows them stays."""
    markup = """<style>s</style><script>s</script><template>s</template><noscript>s</noscript><!-- s --><?s s?>
        <svg><title>s</title><text>s</text></svg><p hidden>s<p>one<div style="color:red;DISPLAY : none">s<p>s</p></div>
        <span style="visibility:hidden">s</span><table><tr hidden><td>s<tr><td>two</table><ul><li hidden>s<li>three</ul>
        <dialog>s</dialog><dialog open>four</dialog>"""
    assert page_text(markup).split() == ["one", "|", "two", "|", "-", "three", "four"]


def test_a_table_that_lays_out_a_page_is_no_data() -> None:
    """Cells that hold headings, code or tables are read as blocks; the data table inside keeps its rows."""
    markup = "<table><tr><td><h2>Menu</h2>a<td>b<table><tr><td>1<td>2</table><pre>x</pre></table>"
    assert page_text(markup) == "## Menu\n\na\n\nb\n\n| 1 | 2 |\n\n```\nx\n```"


def test_text_outside_the_cells_of_a_table_stays() -> None:
    """Stray text in a table is kept, as a paragraph."""
    assert page_text("<table>stray<tr><td>1</td></tr>late</table>").split() == ["stray", "|", "1", "|", "late"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"<meta charset=iso-8859-1><p>caf\xe9 \x93q\x94", "café “q”"),
        (b'<meta http-equiv=x content="text/html; charset=windows-1251"><p>\xcf\xf0\xe8\xe2\xe5\xf2', "Привет"),
        (b"<meta charset=Shift_JIS><p>\x93\xfa\x96\x7b", "日本"),
        (b'<?xml version="1.0" encoding="iso-8859-2"?><p>\xb1', "ą"),
        (b"<meta charset=unicode_escape><p>\\u0041", "\\u0041"),
        (b"<meta charset=zlib><p>\xc3\xa9", "é"),
        (b"<meta charset=nonsense><p>\xc3\xa9", "é"),
        ("<p>é".encode("utf-16"), "é"),
        ("\ufeff<meta charset=latin1><p>é".encode(), "é"),
    ],
)
def test_a_page_is_decoded_as_browsers_do(data: bytes, text: str) -> None:
    """The byte order mark wins over the declared charset; one that browsers do not know is UTF-8."""
    assert parse(data, max_bytes=MAX_BYTES).text == text


def test_entities_become_valid_text() -> None:
    """Character references are resolved, and one for a surrogate or NUL becomes the replacement character."""
    assert page_text("<p>&lt;b&gt; caf&eacute; a&nbsp;b &#xD800;&#0;&#x1F600;") == "<b> café a\xa0b \ufffd\ufffd😀"


def test_a_page_without_title_is_named_by_its_heading_else_its_file() -> None:
    """A menu at the top of a page is not taken for its title."""
    assert load("start.html", b"<ul><li>Menu</ul><h2>Welcome</h2>").title == "Welcome"
    assert load("start.htm", b"<p>Menu</p><p>text</p>").title == "start"


# PDF and DOCX


def test_a_pdf_gives_its_pages_in_order() -> None:
    """The text of a PDF is that of its pages, a blank line between two; pages without text leave no gap."""
    file = load("a.pdf", pdf_bytes(["First café page.", "", "Second page."], title="Annual report"))
    assert file == LoadedFile("First café page.\n\nSecond page.", "Annual report")


def test_a_pdf_without_a_title_is_named_by_its_first_line() -> None:
    """A short first line is the title of a PDF that names none."""
    assert load("a.pdf", pdf_bytes(["Contract"])).title == "Contract"


def test_a_word_document_keeps_its_structure() -> None:
    """Headings by style, lists, tables and paragraphs come out in document order."""
    assert load("a.docx", docx_bytes(title="Staff handbook")) == LoadedFile(
        "# Handbook\n\n# Leave\n\nEveryone has thirty days of leave.\n\n- Ask early\n- Plan well\n\n"
        "| Year | Days |\n| 2024 | 30\\|31 |\n\n## Sickness\n\nCall before nine.",
        "Staff handbook",
    )


def test_a_word_document_reads_as_its_final_version() -> None:
    """Inserted text counts, deleted, moved-away and hidden text does not; content controls are read."""
    body = (
        f"<w:p><w:ins w:id='1' w:author='x'>{RUN.format('new ')}</w:ins>"
        "<w:del w:id='2' w:author='x'><w:r><w:delText>old</w:delText></w:r></w:del>"
        f"<w:moveFrom>{RUN.format('moved')}</w:moveFrom>"
        "<w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>"
        "<w:r><w:rPr><w:vanish w:val='0'/></w:rPr><w:t>shown</w:t><w:br/><w:t>line</w:t></w:r></w:p>"
        f"<w:sdt><w:sdtContent><w:p>{RUN.format('control')}</w:p></w:sdtContent></w:sdt>"
    )
    assert word_text(body) == "new shown\nline\n\ncontrol"


def test_numbering_makes_list_items_of_any_style() -> None:
    """A paragraph with a numbering is an item at its level; one whose numbering is switched off is not."""
    item = (
        "<w:p><w:pPr>{style}<w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='{id}'/></w:numPr></w:pPr>"
        + RUN.format("x")
        + "</w:p>"
    )
    style = "<w:pStyle w:val='ListBullet'/>"
    body = item.format(style="", level=0, id=1) + item.format(style="", level=1, id=1)
    assert word_text(body + item.format(style=style, level=0, id=0)) == "- x\n  - x\n\nx"


def test_a_nested_table_is_text_of_its_cell() -> None:
    """The words of a table inside a cell stay, in that cell's row."""
    cell = "<w:tc><w:p>" + RUN.format("{}") + "</w:p>{}</w:tc>"
    inner = "<w:tbl><w:tr>" + cell.format("in", "") + "</w:tr></w:tbl><w:p/>"
    assert word_text("<w:tbl><w:tr>" + cell.format("out", inner) + cell.format("b", "") + "</w:tr></w:tbl>") == (
        "| out in | b |"
    )


# The subprocess


def test_extracted_text_is_valid_and_has_line_feeds_only() -> None:
    """Halves of a surrogate pair are joined, lone ones replaced, controls dropped, line ends unified."""
    assert mended("\ud83d\ude00 \ud800 a\0b\r\nc\rd\x0ce\x1b") == "😀 \ufffd ab\nc\nd\ne"


@pytest.mark.parametrize("suffix", sorted(SUPPORTED_SUFFIXES - {".txt", ".md", ".markdown"}))
def test_the_parser_process_imports_nothing_heavy(suffix: str) -> None:
    """Starting a parser takes no numerical, model or web package, and no other format's parser."""
    script = (
        "import sys; from indexes.parsing.__main__ import PARSERS; __import__(PARSERS[sys.argv[1]]);"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script, suffix], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    # Pillow is not ours: pypdf imports it where another package has brought it, in 10 ms, and no text needs it.
    assert not loaded & {"numpy", "torch", "openvino", "fastapi", "pydantic", "spacy", "qdrant_client"}
    assert len(loaded & {"bs4", "pypdf", "docx"}) == 1
