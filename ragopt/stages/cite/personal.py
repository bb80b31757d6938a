"""Personal data in an answer: counted, or replaced in a sentence before it is released and in what it quotes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from ragopt.domain import Citation, Passage, Span
from ragopt.markers import markers
from ragopt.privacy.recognisers import BY_FORM, Finding, Kind
from ragopt.privacy.recognition import OWN, Recognisers, outside
from ragopt.privacy.redaction import Redacted, replaced
from ragopt.settings.collections import PersonalData

# What stands around a number says what it is; the recognisers look no further.
NEAR_CHARS = 64
# A key comes line by line: from its first one on, what may be a line of it is never released.
KEY = "PRIVATE KEY-----"
KEY_ENDS = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")
KEY_OPENS = re.compile(rf"-----BEGIN [A-Z ]*PRIVATE KEY-----(?![\s\S]*{KEY_ENDS.pattern})")
KEY_LINE = re.compile(r"\s*(?:[A-Za-z0-9+/=]*|(?:Proc-Type|DEK-Info): \S+)\s*")


@dataclass(slots=True)
class PersonalScreen:
    """The screening of one answer. counts: what was found so far in what is released; nothing is looked for by `off`.

    Sentences are screened one after the other, in the order in which they were written. Where the recognisers have a
    trained model, the event loop goes on while it reads.
    """

    policy: PersonalData = "off"
    recognisers: Recognisers = OWN
    counts: Counter[Kind] = field(default_factory=Counter)
    _before: str = field(default="", init=False)
    _in_key: bool = field(default=False, init=False)
    _titles: dict[str, str] = field(default_factory=dict, init=False)

    async def released(self, text: str) -> Redacted:
        """Return the next sentence or line as it is released; counts what is found in it."""
        if self.policy == "off":
            return Redacted(text, {})
        lead = self._of_key(text)
        rest = text[lead:]
        found = [shifted(item, lead) for item in await found_in(rest, self.recognisers, before=self._before)]
        self._in_key = self._in_key or KEY_OPENS.search(rest) is not None
        self.passed(text)
        return self.noted(text, found, lead=lead)

    def passed(self, text: str) -> None:
        """Remember the end of a sentence, released or not: it may say what the next one holds."""
        if self.policy != "off":
            self._before = (self._before + blanked(text))[-NEAR_CHARS:]

    async def found(self, text: str, *, label: str, number: bool = False) -> list[Finding]:
        """Return what is found in a value that has this label; in a number what has a form alone."""
        if self.policy == "off":
            return []
        looking = replace(self.recognisers, trained=None) if number else self.recognisers
        return await found_in(text, looking, before=label)

    def noted(self, text: str, found: list[Finding], *, lead: int = 0) -> Redacted:
        """Return the text as the policy has it released, with what was found in it counted; lead: as in `replaced`."""
        self.counts.update(item.kind for item in found)
        return replaced(text, found, lead=lead) if self.policy == "redact" else Redacted(text, {})

    async def cited(self, citation: Citation, passage: Passage) -> Citation:
        """Return a citation as the policy has it shown; its offsets stay those of the stored text."""
        if self.policy != "redact":
            return citation
        quote, start, end = citation.quote, citation.source_start, citation.source_end
        if quote is not None and start is not None and end is not None:
            quote = await shown_quote(quote, passage, (start, end), self.recognisers)
        return replace(citation, title=await self._shown_title(citation.title), quote=quote)

    async def _shown_title(self, title: str) -> str:
        """Return a title without personal data; many citations have the same one."""
        if title not in self._titles:
            self._titles[title] = replaced(title, await self.recognisers.find_async(title)).text
        return self._titles[title]

    def _of_key(self, text: str) -> int:
        """Return how many characters at the start of a line belong to a key that began before it."""
        if not self._in_key:
            return 0
        ends = KEY_ENDS.search(text)
        if ends is None and KEY_LINE.fullmatch(text):
            return len(text)
        self._in_key = False
        return ends.end() if ends else 0


async def found_in(text: str, recognisers: Recognisers, *, before: str) -> list[Finding]:
    """Return the personal data of a text, ascending and disjoint; none of it is a marker.

    before: what stands before the text. What began there is found as far as it reaches into the text.
    """
    everything = await recognisers.find_async(before + blanked(text))
    found = list(apart(text, within(everything, len(before), end=len(before) + len(text))))
    opens = KEY_OPENS.search(text)
    if opens is None:
        return found
    kept = [item for item in found if item.end <= opens.start()]
    return [*kept, Finding("secret", opens.start(), len(text.rstrip()))]


def within(found: Iterable[Finding], start: int, *, end: int) -> Iterator[Finding]:
    """Yield what of the findings lies in [start, end), counted from its start."""
    for item in found:
        if item.end > start and item.start < end:
            yield Finding(item.kind, max(item.start, start) - start, min(item.end, end) - start)


def apart(text: str, found: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the findings, those of a trained model without the markers in them: it may read across their spaces."""
    gaps = [match.span() for match in markers(text)]
    for item in found:
        yield from (item,) if item.kind in BY_FORM else outside(text, item, gaps)


def shifted(finding: Finding, by: int) -> Finding:
    """Return a finding so many characters on."""
    return Finding(finding.kind, finding.start + by, finding.end + by)


def blanked(text: str) -> str:
    """Return the text with spaces for its markers: `hunter22x[1]` is a password and a marker."""
    parts: list[str] = []
    end = 0
    for match in markers(text):
        parts += [text[end : match.start()], " " * len(match.group())]
        end = match.end()
    return "".join([*parts, text[end:]])


async def shown_quote(quote: str, passage: Passage, span: Span, recognisers: Recognisers) -> str:
    """Return the quote of a passage, `span` of its document, with its personal data replaced.

    It is looked for with what stands around the quote: of a private key, a line alone does not tell.
    """
    start, end = span
    first, last = next((one for one in passage.spans if one[0] <= start and end <= one[1]), span)
    if KEY not in passage.text:
        first, last = max(first, start - NEAR_CHARS), min(last, end + NEAR_CHARS)
    around = passage.source_text(first, last)
    if around[start - first : end - first] != quote:
        return replaced(quote, await recognisers.find_async(quote)).text
    found = await recognisers.find_async(around)
    return replaced(quote, list(within(found, start - first, end=end - first))).text
