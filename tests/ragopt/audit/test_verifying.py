"""A check finds whatever was done to a log, and nothing wrong with one that was left alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ragopt.audit.chain import files_of, head_file
from ragopt.audit.file import AuditFile
from ragopt.audit.verifying import verify
from tests.environment import campaign_examples
from tests.ragopt.audit.logs import MAX_FILE_BYTES, all_lines, copied, event, written

LINES = 12
EXAMPLES = settings(max_examples=campaign_examples(40), deadline=None)


def test_a_log_left_alone_is_whole(tmp_path: Path) -> None:
    """A log over several files fits to its last line, which the check names."""
    verdict = verify(written(tmp_path, LINES))
    assert (verdict.broken, verdict.end.n, verdict.acts) == (None, LINES, {"delete": LINES})
    assert verdict.files > 2


def test_a_log_that_was_never_written_to_is_whole(tmp_path: Path) -> None:
    """An empty file breaks nothing."""
    assert verify(written(tmp_path, 0)).broken is None


@pytest.mark.campaign
@EXAMPLES
@given(st.data())
def test_any_edited_byte_is_found(data: st.DataObject) -> None:
    """One byte that differs, anywhere, breaks the chain."""
    with tempfile.TemporaryDirectory() as folder:
        path = copied(folder, LINES)
        file = data.draw(st.sampled_from(files_of(path)))
        content = bytearray(file.read_bytes())
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
        file.write_bytes(content)
        assert verify(path).broken is not None


@pytest.mark.campaign
@EXAMPLES
@given(st.data())
def test_any_removed_line_is_found(data: st.DataObject) -> None:
    """A line that is gone, the first and the last included, breaks the chain."""
    with tempfile.TemporaryDirectory() as folder:
        path = copied(folder, LINES)
        file, at = data.draw(st.sampled_from(all_lines(path)))
        lines = file.read_bytes().splitlines(keepends=True)
        file.write_bytes(b"".join(lines[:at] + lines[at + 1 :]))
        assert verify(path).broken is not None


@pytest.mark.campaign
@EXAMPLES
@given(st.data())
def test_any_two_swapped_lines_are_found(data: st.DataObject) -> None:
    """Two lines that changed places, in one file or across files, break the chain."""
    with tempfile.TemporaryDirectory() as folder:
        path = copied(folder, LINES)
        places = st.lists(st.sampled_from(all_lines(path)), min_size=2, max_size=2, unique=True)
        (one, i), (other, k) = data.draw(places)
        contents = {file: file.read_bytes().splitlines(keepends=True) for file in {one, other}}
        contents[one][i], contents[other][k] = contents[other][k], contents[one][i]
        for file, lines in contents.items():
            file.write_bytes(b"".join(lines))
        assert verify(path).broken is not None


def test_the_first_line_that_does_not_fit_is_named(tmp_path: Path) -> None:
    """A removed line is reported at the line that stands in its place, with the number that is missing."""
    path = written(tmp_path, 5, max_file_bytes=1_000_000)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:2] + lines[3:]))
    broken = verify(path).broken
    assert broken is not None
    assert (broken.file, broken.line) == (path.name, 3)
    assert "line number 3 expected, 4 found" in broken.reason


def test_a_missing_end_stays_found_after_more_lines(tmp_path: Path) -> None:
    """Who cuts the end off cannot hide it behind what is written next."""
    path = written(tmp_path, 5, max_file_bytes=1_000_000)
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    file = AuditFile(path, max_file_bytes=1_000_000)
    file.append([event(9)])
    file.sync()
    broken = verify(path).broken
    assert broken is not None
    assert broken.line == 4


def test_a_missing_note_of_the_end_is_found(tmp_path: Path) -> None:
    """Without it nothing says which line is the last."""
    path = written(tmp_path, 3)
    head_file(path).unlink()
    assert verify(path).broken is not None


def test_a_rewritten_log_lacks_the_known_line(tmp_path: Path) -> None:
    """A log that was written anew, note and all, fits in itself; the line that an earlier check named is not in it."""
    earlier = verify(written(tmp_path / "a", 3)).end.sha256
    longer = tmp_path / "a" / "audit.jsonl"
    AuditFile(longer, max_file_bytes=MAX_FILE_BYTES).append([event(3)])
    assert verify(longer, known=earlier).broken is None
    other = tmp_path / "b"
    AuditFile(other / "audit.jsonl", max_file_bytes=MAX_FILE_BYTES).append([event(7)])
    AuditFile(other / "audit.jsonl", max_file_bytes=MAX_FILE_BYTES).sync()
    assert verify(other / "audit.jsonl").broken is None
    assert verify(other / "audit.jsonl", known=earlier).broken is not None


def test_oldest_files_may_be_taken_away_if_it_is_said(tmp_path: Path) -> None:
    """Without its first file a log does not begin at the beginning, which only `partial` forgives."""
    path = written(tmp_path, LINES)
    files_of(path)[0].unlink()
    assert verify(path).broken is not None
    assert verify(path, partial=True).broken is None
    files_of(path)[1].unlink()
    assert verify(path, partial=True).broken is not None
