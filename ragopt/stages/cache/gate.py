"""What two questions must agree on to have one answer, whatever a model thinks: the slot gate. Pure, English.

The gate forbids where both questions say something and say it differently, another number, date or unit, the other
direction, and where only one of them is negated. A name or a year that only one of them says forbids nothing: the
calibration may weigh it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ragopt.slots import is_negated, missing, slots_of

# Of each group, a question that has only words of one side asks for the other thing than one with only the other's.
OPPOSED = """
more most higher highest bigger biggest larger largest greater greatest longer longest older oldest above maximum max
increase increases increased increasing rise gain taller tallest heavier faster fastest
/ less least lower lowest smaller smallest fewer fewest shorter shortest younger youngest below minimum min
decrease decreases decreased decreasing reduce lose lighter slower slowest
; best better good advantages advantage pros benefits / worst worse bad disadvantages disadvantage cons drawbacks
; before prior / after following
; first earliest / last latest
; buy buying purchase / sell selling
; start begin open activate enable create add / stop end close deactivate disable delete remove cancel
; send sending sent / receive receiving received
; deposit deposits top-up / withdraw withdrawal withdrawals
; always / never
; all every each / none
; with / without
; import / export ; credit / debit ; male men boys man boy / female women girls woman girl
; north / south ; east / west ; left / right ; husband / wife ; mother / father ; husbands / wives
; online / offline ; inside indoors / outside outdoors
; legal / illegal ; possible / impossible ; like love / hate dislike ; allowed allow / forbidden forbid ; win won / lost
; safe / dangerous unsafe ; android / iphone ios ; mac / windows
"""
WORD = re.compile(r"[a-z][a-z-]*")


def sides_of(listed: str) -> Mapping[str, tuple[int, int]]:
    """Return each word with the number of its group and of its side in it."""
    groups = [group.split("/") for group in listed.split(";")]
    return MappingProxyType(
        {
            word: (at, side)
            for at, group in enumerate(groups)
            for side, words in enumerate(group)
            for word in words.split()
        }
    )


SIDES = sides_of(OPPOSED)


@dataclass(frozen=True, slots=True)
class Differences:
    """How the slots of two questions differ.

    numbers, names: both say some that the other does not. number, name: only one does. negation: one of them is
    negated. direction: they name opposite sides of one thing.
    """

    numbers: bool
    number: bool
    names: bool
    name: bool
    negation: bool
    direction: bool

    @property
    def forbid(self) -> bool:
        """Return whether one answer can not be for both."""
        return self.numbers or self.direction or self.negation


def differences(one: str, other: str) -> Differences:
    """Return how two questions differ; the same whichever comes first."""
    slots = slots_of(one), slots_of(other)
    lacking = missing(slots[0], other), missing(slots[1], one)
    numbers = [sum(slot.kind != "name" for slot in part) for part in lacking]
    names = [sum(slot.kind == "name" for slot in part) for part in lacking]
    return Differences(
        numbers=min(numbers) > 0,
        number=max(numbers) > 0 and min(numbers) == 0,
        names=min(names) > 0,
        name=max(names) > 0 and min(names) == 0,
        negation=is_negated(slots[0]) != is_negated(slots[1]),
        direction=are_opposed(one, other),
    )


def are_opposed(one: str, other: str) -> bool:
    """Return whether the questions name opposite sides of a thing, each only one."""
    sides: list[dict[int, set[int]]] = []
    for text in (one, other):
        found: dict[int, set[int]] = {}
        for word in WORD.findall(text.casefold()):
            if word in SIDES:
                group, side = SIDES[word]
                found.setdefault(group, set()).add(side)
        sides.append(found)
    return any(
        len(named) == 1 == len(there) and named != there
        for group, named in sides[0].items()
        if (there := sides[1].get(group, set()))
    )
