"""The pages that a stranger reads: their code blocks, commands, headings and links."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from tests.house.source import ROOT

PAGES = sorted((ROOT / "docs").glob("*.md"))
READ_FIRST = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")]
EVERY_PAGE = [*READ_FIRST, *PAGES]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
# What stands for something of the reader's own, or may be left out: such a command is a pattern.
PATTERN = re.compile(r"…|\[|\||<|\b(?:ID|N)\b")


@dataclass(frozen=True)
class Block:
    """A code block of a page; n: its number on it, from 1."""

    page: Path
    n: int
    language: str
    body: str

    @property
    def name(self) -> str:
        """Return what a test calls it."""
        return f"{self.page.stem}-{self.n}"


def blocks(page: Path, *languages: str) -> list[Block]:
    """Return the code blocks of a page in these languages."""
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [Block(page, n, kind, body) for n, (kind, body) in enumerate(found, start=1) if kind in languages]


def prose(page: Path) -> str:
    """Return the text of a page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def commands(page: Path) -> Iterator[tuple[list[str], bool]]:
    """Yield the words of every `ragopt …` and `python -m eval …` on a page, and whether a sentence only names it."""
    shown = [*(block.body for block in blocks(page, "sh")), *steps(page)]
    lines = [line for text in shown for line in text.replace("\\\n", " ").splitlines()]
    spans = [span for span in INLINE.findall(prose(page)) if not PATTERN.search(span)]
    for found, named in ((lines, False), (spans, True)):
        for part in (part for line in found for part in re.split(r" \| | && ", line)):
            words = command_in(part)
            if words:
                yield words, named


def steps(page: Path) -> Iterator[str]:
    """Yield what the pipelines of a page run: the text of each `run` in its YAML blocks, in order."""
    waiting = [yaml.safe_load(block.body) for block in blocks(page, "yaml")]
    while waiting:
        found = waiting.pop(0)
        if isinstance(found, dict):
            yield from (text for name, text in found.items() if name == "run" and isinstance(text, str))
            waiting += found.values()
        elif isinstance(found, list):
            waiting += found


def command_in(line: str) -> list[str]:
    """Return `eval` or `ragopt` with its arguments, [] for any other line."""
    bare = re.sub(r"^(?:\w+=\S+ )+", "", line.strip()).removeprefix(".venv/bin/")
    if bare.startswith("python -m eval "):
        return shlex.split(bare, comments=True)[2:]
    return shlex.split(bare, comments=True) if bare.startswith("ragopt ") else []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        words = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(words.replace(" ", "-"))
    return found
