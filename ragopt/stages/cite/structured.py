"""An answer as JSON: checked as a whole, the claims in its strings cited like those of any other answer."""

from __future__ import annotations

import json
from dataclasses import replace

from indexes.invisible import strip_hidden
from ragopt.markers import rewritten
from ragopt.reading import AnswerReader
from ragopt.results import Cited
from ragopt.stages.cite.checking import Checking
from ragopt.stages.cite.claims import Claim, claims_of
from ragopt.stages.cite.schema import bare, strings, unescaped


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
        for start, stop in strings(text):
            parts.append(text[end:start])
            length += start - end
            body = await self._guarded(rewritten(text[start:stop], self._checking.passages))
            await self._keep(body, offset=length)
            parts.append(body)
            length += len(body)
            end = stop
        return "".join([*parts, text[end:]])

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
        return body if cleaned == plain else json.dumps(cleaned, ensure_ascii=False)[1:-1]

    async def _keep(self, body: str, *, offset: int) -> None:
        reader = AnswerReader()
        last: Claim | None = None
        for piece in [*reader.feed(body), *reader.finish()]:
            before = last and replace(last, span=(last.span[0] - offset, last.span[1] - offset))
            claims = [replace(claim, text=unescaped(claim.text)) for claim in claims_of(piece.text, before=before)]
            for item in await self._checking.judged(claims):
                last = self._checking.keep(item, offset=offset)
            self._checking.sentences += bool(claims)
            offset += len(piece.text)
