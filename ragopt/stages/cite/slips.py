"""What is plainly wrong in a claim that otherwise says what its evidence says: a number, a name, a negation. Pure.

A claim in other words lacks much of its evidence's words, and a missing name proves little. A claim that has nearly all
of them but one number, date or name is a wrong copy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

from ragopt.evidence import topic_words, words
from ragopt.slots import Slot, amounts_of, is_negated, missing, slots_of

Slip: TypeAlias = Literal["number", "name", "negation"]

# Of a claim's topic words beside the slots in question, the share that the evidence has. On the labelled claims of
# WiCE and SciFact the three rules call 3 to 7 % of the supported ones wrong, of copied sentences none.
SAME_MATTER = 0.5
NEARLY_ALL = 0.8
SAME_SENTENCE = 0.85
COPIED = 0.9


def slip_of(claim: str, evidence: Sequence[str], *, everything: str) -> Slip | None:
    """Return what is wrong in a claim beside its pieces of evidence, None where nothing plainly is.

    A number or date that stands nowhere is wrong where a piece has half of the other words; where a piece has nearly
    all of them and another number of that unit in its place, it is wrong wherever else it stands. everything: all
    sentences of the cited passages and their titles.
    """
    slots = slots_of(claim)
    nowhere = missing(slots, everything)
    for text in evidence:
        here = missing(slots, text)
        rest = shared_rest(claim, text, without=here)
        numbers = [slot for slot in here if slot.kind != "name"]
        if rest >= SAME_MATTER and any(slot.kind != "name" for slot in nowhere):
            return "number"
        if rest >= NEARLY_ALL and any(is_replaced(slot, claimed=slots, there=amounts_of(text)) for slot in numbers):
            return "number"
        if rest >= SAME_SENTENCE and any(slot.kind == "name" for slot in nowhere):
            return "name"
    return "negation" if any(is_denied(claim, text) for text in evidence) else None


def shared_rest(claim: str, text: str, *, without: Sequence[Slot]) -> float:
    """Return the share, in [0, 1], of the claim's topic words outside some slots that a text has; 0 for none."""
    lacked = {word for slot in without for word in words(claim[slot.start : slot.end])}
    rest = set(topic_words(claim)) - lacked
    return len(rest & set(topic_words(text))) / len(rest) if rest else 0.0


def is_replaced(slot: Slot, *, claimed: Sequence[Slot], there: Sequence[Slot]) -> bool:
    """Return whether a text has a number or date that the claim has not, where the claim has this one."""
    free = [other for other in there if other.kind == slot.kind and other.value not in {item.value for item in claimed}]
    return any(other.unit == slot.unit or not other.unit or not slot.unit for other in free)


def is_denied(claim: str, text: str) -> bool:
    """Return whether a claim copies a sentence, and the whole of it, but for a negation."""
    if is_negated(slots_of(claim)) == is_negated(slots_of(text)):
        return False
    return shared_rest(claim, text, without=()) >= COPIED and shared_rest(text, claim, without=()) >= NEARLY_ALL
