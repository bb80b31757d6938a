"""Sentence spans."""

from __future__ import annotations

import subprocess
import sys

from indexes.sentences import MOST_WORDS, sentence_spans, sentencizer


def spans_of(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text, 0, len(text))]


def test_abbreviations_and_decimals_do_not_end_a_sentence() -> None:
    """What looks like a full stop is told from one."""
    assert spans_of("Dr. Smith pays $3.50 to Mr. Li. He left!  Why?") == [
        "Dr. Smith pays $3.50 to Mr. Li.",
        "He left!",
        "Why?",
    ]


def test_marks_that_open_a_sentence_belong_to_it() -> None:
    """Emphasis, quotes and brackets go with the words they open; those that close stay."""
    text = 'Done. **Bold** is next. "Why?" he asked. (Nobody knew.) He said "go." `code` ran.'
    assert spans_of(text) == [
        "Done.",
        "**Bold** is next.",
        '"Why?"',
        "he asked.",
        "(Nobody knew.)",
        'He said "go."',
        "`code` ran.",
    ]


def test_only_the_asked_part_is_split_and_offsets_stay_true() -> None:
    """Spans index the whole text, without white space at their edges."""
    text = "Skip this.   Take this.  And this.   Not this."
    assert [text[a:b] for a, b in sentence_spans(text, 10, 35)] == ["Take this.", "And this."]


def test_a_text_longer_than_spacy_takes_is_split_all_the_same() -> None:
    """Two million characters in one paragraph are no error."""
    found = spans_of("Word word word. " * 130_000)
    assert len(found) >= 130_000


def test_chunking_does_not_load_torch_and_leaves_it_importable() -> None:
    """A service that ingests does without torch's memory, and torch still loads afterwards."""
    check = (
        "import sys; from indexes.sentences import sentencizer; sentencizer(); assert 'torch' not in sys.modules; "
        "import importlib.util; assert importlib.util.find_spec('torch')"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_words_that_were_seen_are_forgotten_in_the_end() -> None:
    """However many different words are read, the pipeline holds a bounded number, and splits as before."""
    for part in range(6):
        spans_of(" ".join(f"word{part}x{at}" for at in range(10_000)) + ".")
    spans_of("One more.")
    assert len(sentencizer().vocab.strings) <= MOST_WORDS
    assert spans_of("Dr. Smith pays. He left!") == ["Dr. Smith pays.", "He left!"]
