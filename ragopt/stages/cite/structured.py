"""An answer as JSON: checked as a whole, the claims in its strings cited like those of any other answer."""

from __future__ import annotations

from dataclasses import replace

from indexes.invisible import strip_hidden
from ragopt.markers import rewritten
from ragopt.privacy.recognisers import Finding
from ragopt.privacy.redaction import Redacted
from ragopt.reading import AnswerReader
from ragopt.results import Cited
from ragopt.stages.cite.checking import Checking
from ragopt.stages.cite.claims import Claim, claims_of
from ragopt.stages.cite.schema import Scalar, bare, escaped, scalars, unescaped


class JsonChecker:
    """The checker of one answer as JSON; satisfies `ragopt.ports.CiteStream`.

    Nothing is released before the end, and nothing is left out: half a JSON value is none. Offsets are into the JSON
    text, the strings as they are written there.
    """

    def __init__(self, checking: Checking) -> None:
        self._checking = checking
        self._parts: list[str] = []

    async def feed(self, delta: str) -> str:
        """Return nothing yet."""
        self._parts.append(delta)
        return ""

    async def finish(self) -> tuple[str, Cited]:
        """Return the whole JSON text, without a code fence around it, and its citations."""
        text = bare(strip_hidden("".join(self._parts)))
        with self._checking.trace.stage("cite"):
            released = await self._checked(text)
        return released, self._checking.cited(released)

    async def _checked(self, text: str) -> str:
        """Return the text with the markers of its strings in one form; keep their claims and citations."""
        parts: list[str] = []
        end = length = 0
        for scalar in scalars(text):
            start, stop = scalar.span
            parts.append(text[end:start])
            length += start - end
            if scalar.kind == "string":
                body = await self._released(text[start:stop], label=scalar.label, offset=length)
            else:
                body = await self._bare(text[start:stop], scalar)
            parts.append(body)
            length += len(body)
            end = stop
        return "".join([*parts, text[end:]])

    async def _released(self, body: str, *, label: str, offset: int) -> str:
        """Return a string's body as it is released; keep its claims and citations, judged as they were written."""
        body = await self._guarded(rewritten(body, self._checking.passages))
        plain = unescaped(body)
        found = await self._checking.personal.found(plain, label=label)
        if found and self._checking.personal.policy == "redact":
            # What stands for a character has one length then, whatever came before it.
            body = escaped(plain)
            found = [
                Finding(item.kind, len(escaped(plain[: item.start])), len(escaped(plain[: item.end]))) for item in found
            ]
        shown = self._checking.personal.noted(body, found)
        await self._keep(body, shown, offset=offset)
        return shown.text

    async def _bare(self, written: str, scalar: Scalar) -> str:
        """Return a key or a number as it is released; no placeholder fits a number, so 0 stands for personal data."""
        plain = unescaped(written)
        number = scalar.kind == "number"
        found = await self._checking.personal.found(plain, label=scalar.label if number else "", number=number)
        if not found:
            return written
        shown = self._checking.personal.noted(plain, found)
        if shown.text == plain:
            return written
        return "0" if number else escaped(shown.text)

    async def _guarded(self, body: str) -> str:
        """Return a string's body without addresses that the sources lack; empty where it may not be released."""
        guard, plain = self._checking.guard, unescaped(body)
        if guard.leaks(plain):
            self._checking.dropped += 1
            return ""
        reader = AnswerReader()
        for piece in [*reader.feed(plain), *reader.finish()]:
            if await self._checking.withholds(piece.text):
                return ""
        cleaned = guard.cleaned(plain, self._checking.passages)
        return body if cleaned == plain else escaped(cleaned)

    async def _keep(self, body: str, shown: Redacted, *, offset: int) -> None:
        """Keep the claims and citations of a string; `shown`: as it is released, from `offset` on."""
        reader = AnswerReader()
        last: Claim | None = None
        at = 0
        for piece in [*reader.feed(body), *reader.finish()]:
            before = last and replace(last, span=(last.span[0] - at, last.span[1] - at))
            claims = [replace(claim, text=unescaped(claim.text)) for claim in claims_of(piece.text, before=before)]
            for item in await self._checking.judged(claims):
                last = replace(item.claim, span=(item.claim.span[0] + at, item.claim.span[1] + at))
                await self._checking.keep(replace(item, claim=last).moved(shown), offset=offset)
            self._checking.sentences += bool(claims)
            at += len(piece.text)
