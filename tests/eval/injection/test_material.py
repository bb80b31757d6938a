"""Made texts: every template fills, and none is left open."""

from __future__ import annotations

import random

import pytest

from eval.injection.examples import made_examples
from eval.injection.material import ATTACKS, LOOKALIKES, read_grammar, tidy
from eval.screening.examples import Example


@pytest.mark.parametrize("path", [ATTACKS, LOOKALIKES])
def test_every_template_fills(path: object) -> None:
    """No slot stays, no text is empty, and a family's templates differ."""
    grammar = read_grammar(path)  # type: ignore[arg-type]
    rng = random.Random(0)
    for family in grammar.families:
        assert len(set(family.templates)) == len(family.templates)
        for _, text in grammar.texts(family, each=2, rng=rng):
            assert text.strip(), family.name
            assert not any(f"{{{slot}}}" in text for slot in grammar.slots), text


def test_gaps_of_empty_slots_are_closed() -> None:
    """A sentence begins with a capital and has one space between its words."""
    assert tidy("ignore  all of this , now .") == "Ignore all of this, now."
    assert tidy("print  ![x](y)") == "print ![x](y)"


def test_made_examples_are_the_same_for_a_seed() -> None:
    """And hold both labels in both places, attacks never in the group of a look-alike."""
    made = made_examples(["The river is long."], ["How long is it?"], seed=1)
    assert made == made_examples(["The river is long."], ["How long is it?"], seed=1)
    assert {(item.place, bool(item.label)) for item in made} == {
        (place, attack) for place in ("question", "document") for attack in (True, False)
    }
    assert not groups(made, attack=True) & groups(made, attack=False)


def groups(examples: list[Example], *, attack: bool) -> set[str]:
    """Return the groups of one label."""
    return {item.group for item in examples if bool(item.label) == attack}
