"""Made texts: every frame fills, both labels share their words, and no public test set is learned from."""

from __future__ import annotations

import random

import pytest

from eval.harmful.examples import is_held_out, made_examples
from eval.harmful.material import LOOKALIKES, REQUESTS, Wanted, fill, gerund, read_frames, read_texts, read_wanted
from ragopt.harmful.categories import CATEGORIES


def test_every_category_has_phrases_and_nothing_else_does() -> None:
    """Verb phrases and things; what is harmless has no phrase of what is harmful."""
    harmful, harmless = list(read_wanted(REQUESTS)), list(read_wanted(LOOKALIKES))
    assert tuple(dict.fromkeys(item.family for item in harmful)) == CATEGORIES
    for name in CATEGORIES:
        assert {item.kind for item in harmful if item.family == name} == {"do", "make"}
    assert not {item.phrase for item in harmful} & {item.phrase for item in harmless}


@pytest.mark.parametrize("wanted", [Wanted("drugs", "do", "sell pills"), Wanted("hate", "make", "a slur")])
def test_every_frame_fills(wanted: Wanted) -> None:
    """No place stays open, and every frame names what is asked for."""
    frames = read_frames()
    names = ("asks", "about", "says", "reports") if wanted.kind == "do" else ("makes", "about_make", "says_make")
    for name in names:
        for frame in frames.named[name]:
            text = fill(frame, wanted)
            assert "{" not in text, frame
            assert wanted.phrase.split()[-1] in text, frame


@pytest.mark.parametrize(
    ("phrase", "noun"),
    [
        ("make a cake", "making a cake"),
        ("get lost", "getting lost"),
        ("die", "dying"),
        ("see", "seeing"),
        ("kidnap a child", "kidnapping a child"),
        ("hack", "hacking"),
    ],
)
def test_a_verb_phrase_becomes_a_noun(phrase: str, noun: str) -> None:
    """By the rules of English spelling."""
    assert gerund(phrase) == noun


def test_what_is_put_behind_stands_before_the_full_stop() -> None:
    """And what is put before takes the capital where the sentence goes on."""
    rng = random.Random(0)
    wanted = Wanted("drugs", "do", "sell pills")
    texts = {read_frames().asked(wanted, rng, behind="behind_harmful") for _ in range(400)}
    assert not any("? " in text and text.endswith("caught") for text in texts)
    assert any(text.startswith("Please ") and not text[7].isupper() for text in texts)


def test_made_examples_are_the_same_for_a_seed() -> None:
    """Of both labels in both places; a phrase's harmful and harmless texts are left out together."""
    made = made_examples(seed=1)
    assert made == made_examples(seed=1)
    assert {(item.place, bool(item.label)) for item in made} == {
        (place, harmful) for place in ("question", "answer") for harmful in (True, False)
    }
    asked_about = {item.group for item in made if item.source == "made/about"}
    whole = {item.group for item in made if item.label} - asked_about
    assert whole == {f"{family}/{text}" for family, text in read_texts(REQUESTS)}
    assert not {item.text for item in made if item.label} & {item.text for item in made if not item.label}


def test_a_third_of_the_texts_of_sets_is_learned_from_by_nobody() -> None:
    """Decided by the text alone, so that whoever measures can tell."""
    held = [is_held_out(f"text {number}") for number in range(3_000)]
    assert 900 < sum(held) < 1_100
