"""Drafts: what keeps an answer from its release, and which one is left where none passes. Live and in batches alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ragopt.errors import UnusableAnswer
from ragopt.providers.deployment import Deployment, Flaw, Gate, Inspection
from ragopt.providers.protocol import Completed
from ragopt.results import Prepared, Shortened
from ragopt.telemetry import Trace


@dataclass(frozen=True, slots=True)
class Draft:
    """A whole answer that did not pass. shorter: what was sent for it, None for what was prepared."""

    deployment: Deployment
    text: str
    flaw: Flaw
    completed: Completed | None
    shorter: Shortened | None = None


@dataclass(slots=True)
class Held:
    """A model's text while it has not passed. flaw: why it never will, None while that is open.

    gate: judges an answer that a higher tier could better; its opening where the answer is streamed to the caller.
    inspection: judges the whole answer.
    """

    prepared: Prepared
    trace: Trace
    gate: Gate | None
    inspection: Inspection | None
    text: str = ""
    flaw: Flaw | None = None
    open: bool = False

    async def passed(self, text: str, *, ended: bool) -> str:
        """Return what may be released after `text`: all that was held once it has passed, "" before."""
        if self.open or self.flaw:
            return text if self.open else ""
        self.text += text
        if not ended and not self._opening_is_due():
            return ""
        self.flaw = await flaw_of(
            self.text, self.prepared, gate=self.gate, inspection=self.inspection, trace=self.trace, ended=ended
        )
        self.open = self.flaw is None
        return self.text if self.open else ""

    def _opening_is_due(self) -> bool:
        streamed = self.prepared.question.streamed and self.inspection is None
        return streamed and self.gate is not None and self.gate.ready(self.text)


async def flaw_of(
    text: str,
    prepared: Prepared,
    *,
    gate: Gate | None,
    inspection: Inspection | None,
    trace: Trace,
    ended: bool = True,
) -> Flaw | None:
    """Return what is wrong with an answer; None if nothing is.

    gate: judges an answer that a higher tier could better; inspection: judges whole answers. ended: whether the text
    is the whole answer. An answer that the gate rejects and that is also not as it was asked for is unusable: it must
    not be left at last.
    """
    rejected = await gate.flaw(text, prepared, ended=ended, trace=trace) if gate else None
    if inspection is None:
        return rejected
    wrong = await inspection.flaw(text, prepared, trace=trace)
    if wrong is None or (rejected is not None and not wrong.unusable):
        return rejected
    return replace(wrong, final=not inspection.escalates)


def best_of(flaws: Sequence[Flaw]) -> int:
    """Return which of the drafts with these flaws is left: the fewest unsupported claims, the last one of equals.

    Raises: `UnusableAnswer` where nothing less than what was asked for will do.
    """
    at = min(reversed(range(len(flaws))), key=lambda place: flaws[place].unsupported)
    if flaws[at].unusable:
        raise UnusableAnswer(f"no model's answer is as it was asked for: {flaws[at].detail}")
    return at
