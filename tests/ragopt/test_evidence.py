"""Sentence evidence."""

from __future__ import annotations

from ragopt.evidence import overlap, sentence_scores, words


def test_words_are_topics() -> None:
    """Stop words go, plurals and possessives become one form, numbers stay."""
    assert words("What are the company's policies on fees in 2,023?") == ["company", "policy", "fee", "2", "023"]


def test_a_sentence_that_shares_no_word_scores_zero() -> None:
    """And the one with the rarer shared word scores highest."""
    scores = sentence_scores("late fee", ["The fee is due.", "The late fee is due.", "Zebras run."])
    assert scores[1] > scores[0] > scores[2] == 0


def test_nothing_to_compare_scores_zero() -> None:
    """Empty questions, stop words alone and no sentences are no error."""
    assert sentence_scores("", ["a text"]) == [0.0]
    assert sentence_scores("what is the", ["a text"]) == [0.0]
    assert sentence_scores("fee", []) == []
    assert sentence_scores("fee", ["", "the"]) == [0.0, 0.0]


def test_overlap_is_a_share() -> None:
    """Of the claim's words, not the sentence's."""
    assert overlap("late fee", "The late fee is eight dollars") == 1.0
    assert overlap("late penalty", "the late fee") == 0.5
    assert overlap("", "the late fee") == 0.0
