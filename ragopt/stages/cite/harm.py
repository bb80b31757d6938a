"""Sentences of an answer that give harmful content: counted, or withheld before they are released."""

from __future__ import annotations

from dataclasses import dataclass

from ragopt.harmful.detector import HarmfulDetector
from ragopt.markers import without_markers
from ragopt.settings.collections import CollectionSettings
from ragopt.telemetry import Trace


@dataclass(slots=True)
class HarmScreen:
    """The screening of one answer. detector: None where nothing is looked for. found: harmful sentences so far.

    withheld: those of them that are not to be released.
    """

    detector: HarmfulDetector | None
    policy: CollectionSettings
    trace: Trace
    found: int = 0
    withheld: int = 0

    async def withholds(self, text: str) -> bool:
        """Return whether the policy keeps back a sentence or a line; counts it where it is harmful."""
        if self.detector is None or self.policy.harmful_answers == "off":
            return False
        harm = await self.detector.sentence(without_markers(text))
        if harm.category is None or harm.category in self.policy.harmful_allowed:
            return False
        self.found += 1
        self.trace.note(harmful_answer=harm.category)
        withheld = self.policy.harmful_answers == "withhold"
        self.withheld += withheld
        return withheld
