"""Whether a claim contradicts what the operator knows. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ragopt.settings.facts import FactSettings
from ragopt.slots import amounts_of, missing, slots_of


def contradicted(claim: str, facts: Sequence[FactSettings]) -> FactSettings | None:
    """Return the first fact that a claim speaks of and gets wrong, None where there is none.

    A claim that names no value of the fact's kind, a number or a name, leaves it open and contradicts nothing.
    """
    return next((fact for fact in facts if is_wrong(claim, fact)), None)


def is_wrong(claim: str, fact: FactSettings) -> bool:
    """Return whether the claim speaks of a fact and has another value than it."""
    if not re.search(fact.pattern, claim, re.IGNORECASE) or fact.value.casefold() in claim.casefold():
        return False
    known = amounts_of(fact.value)
    if known:
        return bool(amounts_of(claim)) and bool(missing(known, claim))
    # A value in words: a claim with another name, or with words in its place, is wrong; one without any is open.
    names = [claim[slot.start : slot.end] for slot in slots_of(claim) if slot.kind == "name"]
    return any(not re.search(fact.pattern, name, re.IGNORECASE) for name in names)
