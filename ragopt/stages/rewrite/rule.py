"""Follow-up to standalone question without a language model: leave it alone, or carry in what it means."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ragopt.domain import Question, Turn
from ragopt.evidence import STOP_WORDS, singular
from ragopt.results import Standalone
from ragopt.stages.rewrite.candidates import Candidate
from ragopt.stages.rewrite.conversation import CHARACTERS_READ, Rarity
from ragopt.stages.rewrite.selector import FollowUpModel, Reading
from ragopt.stages.rewrite.vocabulary import FOREIGN
from ragopt.stages.rewrite.wording import worded
from ragopt.telemetry import Trace

# From here on a question is changed; below the second, nothing is read any more. Measured with `python -m eval rewrite`
# on cast: at 0.70 2.9 % of the self-contained turns are changed and F1 is 0.765, at 0.75 1.7 % and 0.762.
LEANS = 0.75
MAY_LEAN = 0.35
# A phrase is carried from this chance on; if none has it, the best one that is not hopeless, and where the question
# can hardly be meant alone the bar is lower.
CARRIED = 0.35
HOPELESS = 0.15
SURELY_LEANS = 0.85
HOPELESS_EVEN_SO = 0.08
MAX_CARRIED = 4
# What touches a carried word comes along from this share of its chance on: "parental leave", not "parental".
TOUCHING = 0.4
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
# Share of the words of question and last question that a table of common English words knows; names are not counted.
ENGLISH_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class RuleRewriter:
    """Rewrites by the small models that ship; satisfies `ragopt.ports.Rewrite`."""

    model: FollowUpModel

    async def __call__(self, question: Question, *, trace: Trace, may_call: bool = False) -> Standalone:  # noqa: ARG002
        """Return the question with what it refers to, unchanged where it leans on nothing; some milliseconds of work.

        Without an earlier question, and where it stands alone, it is sure; what leans on the history is not.
        """
        reading = self.read(question)
        if reading is None:
            return Standalone(question.text, sure=not asked_before(question.history))
        trace.note(leaning=round(reading.leaning, 3))
        return rewritten(question.text, reading)

    def read(self, question: Question) -> Reading | None:
        """Return how the question leans on its history; None without an earlier one, or where it is not English."""
        last = asked_before(question.history)
        if not last or not is_english(f"{question.text} {last}", self.model.rarity):
            return None
        return self.model.read(question.text, question.history, from_leaning=MAY_LEAN)


def rewritten(text: str, reading: Reading) -> Standalone:
    """Return what a reading makes of the question."""
    if reading.leaning < LEANS:
        return Standalone(text, sure=reading.leaning < MAY_LEAN)
    carried = chosen(reading)
    if not carried:
        return Standalone(text, sure=False)
    return Standalone(worded(text, carried), sure=False, changed=True)


def chosen(reading: Reading) -> list[Candidate]:
    """Return the candidates to carry, in the order in which they were said last; a part of a carried name is not."""
    chances = reading.chances
    ranked = sorted(range(len(chances)), key=lambda at: -chances[at])
    places = [at for at in ranked if chances[at] >= CARRIED][:MAX_CARRIED]
    bar = HOPELESS_EVEN_SO if reading.leaning >= SURELY_LEANS else HOPELESS
    if not places and ranked and chances[ranked[0]] >= bar:
        places = ranked[:1]
    found = [reading.candidates[at] for at in sorted({*places, *touching(reading, places)})]
    return [item for item in found if not any(set(item.words) < set(other.words) for other in found)]


def touching(reading: Reading, places: Sequence[int]) -> list[int]:
    """Return the candidates beside a carried word that is no name, in its turn, with enough of its chance."""
    found: list[int] = []
    for at in places:
        carried = reading.candidates[at]
        if carried.last.named:
            continue
        for other, candidate in enumerate(reading.candidates):
            beside = carried.last.start in (candidate.last.start - 1, candidate.last.end)
            same_turn = candidate.turns[-1] is carried.turns[-1]
            if beside and same_turn and reading.chances[other] >= TOUCHING * reading.chances[at]:
                found.append(other)
    return found


def asked_before(history: Sequence[Turn]) -> str:
    """Return the beginning of the last question before this one; "" if there was none."""
    for turn in reversed(history):
        if turn.role == "user" and turn.content.strip():
            return turn.content[:CHARACTERS_READ]
    return ""


def is_english(text: str, rarity: Rarity) -> bool:
    """Return whether enough of the words, capitalised ones left out, are common English ones; True for none."""
    spoken = [word for word in WORD.findall(text[: 2 * CHARACTERS_READ]) if not word[0].isupper()]
    common = sum((word in STOP_WORDS or singular(word) in rarity.table) and word not in FOREIGN for word in spoken)
    return common >= ENGLISH_SHARE * len(spoken)
