"""Anthropic's own citations, as the markers that the rest of the service reads.

Each passage goes as a document of the call, in the order of the context, so that a document's place tells the
passage's number. A block of text that cites becomes that text with `[n]` before its full stop.
Source: platform.claude.com, "Citations".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ragopt.markers import markers, numbers

# What ends a sentence stands behind its marker: it is held back until the block has told what it cites.
ENDING = re.compile(r"[.!?…,;:\"'”’]*\s*\Z")


@dataclass(slots=True)
class CitingBlock:
    """One block of text while it comes. held: its end, not released yet; cited: numbers of passages, each once."""

    text: str = ""
    held: str = ""
    cited: list[int] = field(default_factory=list)

    def feed(self, text: str) -> str:
        """Return what of the text so far can be released."""
        self.held += text
        start = ending_of(self.held)
        released, self.held = self.held[:start], self.held[start:]
        self.text += released
        return released

    def cite(self, citation: Mapping[str, object]) -> None:
        """Keep which passage a citation names; one that names no document names none."""
        place = citation.get("document_index")
        if isinstance(place, int) and place + 1 not in self.cited:
            self.cited.append(place + 1)

    def close(self) -> str:
        """Return the rest of the block, behind the markers that the model has not written itself."""
        said = {number for marker in markers(self.text) for number in numbers(marker)}
        new = "".join(f"[{number}]" for number in self.cited if number not in said)
        spaced = new if not new or self.text.endswith(("]", " ", "\n")) else f" {new}"
        rest, self.held, self.text, self.cited = self.held, "", "", []
        return spaced + rest


def ending_of(text: str) -> int:
    """Return where the punctuation and the white space at the end of a text begin."""
    found = ENDING.search(text)
    return found.start() if found else len(text)
