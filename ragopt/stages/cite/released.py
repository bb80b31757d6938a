"""What of an answer may not reach a reader: links and images that the sources lack, and the prompt itself.

A document can make a model write a link that carries what it read, an image that fetches it, or its rules. Whatever a
model was made to write, only addresses that stand in the cited passages are released.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache

from ragopt.domain import Passage
from ragopt.markers import markers, numbers
from ragopt.pipeline import ABSTENTION
from ragopt.prompt import SYSTEM, key_in
from ragopt.results import Prepared
from ragopt.screening.readings import readings

REMOVED = "(link removed)"
# What a browser or a chat window opens, loads or runs; a scheme, a `www.`, or a host behind two slashes.
ADDRESS = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]{1,20}:/{2,}|\bwww\.|\b(?:mailto|data|javascript|vbscript|tel|blob|file):(?=\S)"
    r"|(?<![\w:/])/{2}(?=[\w-]+(?:\.[\w-]+)+))[^\s<>\"'`)\]}|\\]+",
    re.IGNORECASE,
)
TRAILING = ".,;:!?*_…"
# Every address, link, definition and tag holds one of these: nothing else is looked at.
LIVE = re.compile(r"[:<]|//|\]\(|www\.", re.IGNORECASE)
# Markdown's links and images, whole or from where a sentence was cut; and definitions of links to refer to.
WHOLE = re.compile(r"(?P<image>!?)\[(?P<text>[^\[\]]*)\]\(\s*<?(?P<to>[^\s)>]*)>?[^)\n]*\)")
OPEN = re.compile(r"\]\(\s*<?(?P<to>[^\s)>]*)>?[^)\n]*\)?")
DEFINITION = re.compile(r"^(?P<lead>\s{0,3}\[[^\]\n]+\]:)[ \t]*<?(?P<to>[^\s>]*)>?.*$", re.MULTILINE)
# Tags that load, link or run. The rest of the markup is shown as it is or left to the page that shows it.
TAG = re.compile(
    r"<\s*/?\s*(?:a|area|audio|base|button|embed|form|frame|iframe|image|img|input|link|math|meta|object|script|source"
    r"|style|svg|track|video)\b[^>]*>?",
    re.IGNORECASE,
)
WORD = re.compile(r"\w+")
# What stands between letters and digits.
BETWEEN = re.compile(r"[\W_]+")
# So many words in a row of the rules are no coincidence.
RUN_WORDS = 8


class ReleaseGuard:
    """What may be released of an answer. removed: addresses and tags taken out; leaked: sentences of the prompt."""

    def __init__(self, prepared: Prepared) -> None:
        self._key = key_in(prepared.prompt)
        self._texts = {passage.n: passage.text for passage in prepared.context.passages}
        self._known: dict[int, frozenset[str]] = {}
        self.removed = 0
        self.leaked = 0

    def cleaned(self, text: str, passages: Mapping[int, Passage], *, code: bool = False) -> str:
        """Return a sentence or a line without addresses that the passages it cites lack; of all where it cites none.

        In code the addresses alone are replaced: nothing there is live.
        """
        if not LIVE.search(text):
            return text
        cited = [n for marker in markers(text) for n in numbers(marker) if n in passages]
        known = frozenset[str]().union(*(self._addresses_of(n) for n in cited or passages))
        shown = text if code else self._without_markup(text, known)
        return ADDRESS.sub(lambda found: self._address(found, known), shown)

    def leaks(self, text: str) -> bool:
        """Return whether a sentence repeats the rules or the key of the fences, however it is written; counts it."""
        found = (bool(self._key) and holds(text, self._key)) or repeats_rules(text)
        self.leaked += found
        return found

    def _addresses_of(self, n: int) -> frozenset[str]:
        """Return the addresses of a passage, looked for when a sentence first has one: that takes a millisecond."""
        if n not in self._known:
            self._known[n] = frozenset(addresses(self._texts.get(n, "")))
        return self._known[n]

    def _without_markup(self, text: str, known: Collection[str]) -> str:
        """Return the text without tags that load something, its links and images to elsewhere as their words."""
        if "<" in text:
            self.removed += sum("/" not in tag.group()[:3] for tag in TAG.finditer(text))
            text = TAG.sub("", text)
        if "](" in text:
            text = WHOLE.sub(lambda link: link.group() if self._is_known(link["to"], known) else words_of(link), text)
            text = OPEN.sub(lambda link: link.group() if self._is_known(link["to"], known) else "]", text)
        if "]:" in text:
            text = DEFINITION.sub(
                lambda line: line.group() if self._is_known(line["to"], known) else f"{line['lead']} {REMOVED}", text
            )
        return text

    def _is_known(self, address: str, known: Collection[str]) -> bool:
        found = not address or address.rstrip(TRAILING).casefold() in known
        self.removed += not found
        return found

    def _address(self, found: re.Match[str], known: Collection[str]) -> str:
        bare = found.group().rstrip(TRAILING)
        if bare.casefold() in known:
            return found.group()
        self.removed += 1
        return REMOVED + found.group()[len(bare) :]


def words_of(link: re.Match[str]) -> str:
    """Return what a link shows, a number in its brackets, so that a citation stays one."""
    return f"[{link['text']}]" if link["text"].strip().isdecimal() else link["text"]


def addresses(text: str) -> Iterator[str]:
    """Yield the addresses of a text, and where its links point, without marks behind them, in one case."""
    for found in ADDRESS.finditer(text):
        yield found.group().rstrip(TRAILING).casefold()
    for pattern in (WHOLE, DEFINITION):
        for link in pattern.finditer(text):
            yield link["to"].rstrip(TRAILING).casefold()


def holds(text: str, secret: str) -> bool:
    """Return whether a text holds a secret, plainly or in one of the ways that a reader can undo."""
    wanted = squeezed(secret)
    found = [squeezed(reading) for reading in (text, *readings_of(text))]
    return bool(wanted) and any(wanted in reading or wanted in reading[::-1] for reading in found)


@lru_cache(maxsize=64)
def readings_of(text: str) -> tuple[str, ...]:
    """Return `readings(text)`: a sentence is looked at for the key and for the rules, before its release and at it."""
    return readings(text)


def squeezed(text: str) -> str:
    """Return the letters and digits of a text in one case, everything between them left out."""
    return BETWEEN.sub("", text.casefold())


def repeats_rules(text: str) -> bool:
    """Return whether eight words in a row are those of our rules; the abstention, which they quote, is not."""
    return any(run in RULES for reading in (text, *readings_of(text)) for run in runs(reading))


def runs(text: str) -> Iterator[tuple[str, ...]]:
    """Yield each run of eight words."""
    found = WORD.findall(text.casefold())
    return (tuple(found[at : at + RUN_WORDS]) for at in range(len(found) - RUN_WORDS + 1))


RULES = frozenset(run for line in SYSTEM.replace(ABSTENTION, "\n").splitlines() for run in runs(line))
