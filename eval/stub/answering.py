"""What the stub answers: the first sentence of the prompt's first passage, cited."""

from __future__ import annotations

import re

FENCED = re.compile(r'<passage(?:-\w+)? n="1"[^>]*>\s*(?P<text>.*?)\s*</passage', re.DOTALL)
LISTED = re.compile(r"^\[1\][ \t]*(?P<text>.*?)(?=^\[2\]|\n\s*\n|\Z)", re.DOTALL | re.MULTILINE)
SENTENCE = re.compile(r"(?P<words>\S.*?)(?P<end>[.!?])(?=\s|$)", re.DOTALL)
NO_PASSAGE = "This is the stub's answer."


def answer_to(user_message: str) -> str:
    """Return the first sentence of passage 1 with `[1]` before its full stop; a fixed sentence if there is none.

    A passage stands in `<passage n="1">…</passage>`, whose name may end in a key, or behind `[1]` where a line starts.
    """
    found = FENCED.search(user_message) or LISTED.search(user_message)
    text = found["text"].strip() if found else ""
    if not text:
        return NO_PASSAGE
    sentence = SENTENCE.search(text)
    words, end = (sentence["words"], sentence["end"]) if sentence else (text, ".")
    return f"{' '.join(words.split())} [1]{end}"


def pieces(answer: str) -> list[str]:
    """Return the answer word by word, white space kept, so that joining gives it back."""
    return re.findall(r"\s*\S+\s*", answer)
