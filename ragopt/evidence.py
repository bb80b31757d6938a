"""Which sentences speak of a question: BM25 over the few sentences at hand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from rank_bm25 import BM25Plus

from ragopt.remembering import remembered

WORD = re.compile(r"[^\W_]+(?:[.'’-][^\W_]+)*")
# Words that carry no topic. Source: the function words of Manning, Raghavan, Schütze, "Introduction
# to Information Retrieval", figure 2.5, with the question words and auxiliaries of English.
STOP_WORDS = frozenset(
    """
    a about an and any are as at be been but by can could did do does for from had has have he her his how i if in
    into is it its may me my no not of on or our shall she should so some such than that the their them then there
    these they this those to was we were what when where which who whom whose why will with would you your
    """.split()  # noqa: SIM905 - a list of a hundred quoted words reads worse
)


def words(text: str) -> list[str]:
    """Return the topic words of `text` in order: lower case, without stop words, plural s dropped."""
    return list(topic_words(text))


@remembered
def topic_words(text: str) -> tuple[str, ...]:
    """Return `words(text)`: packing, routing and citing ask for the same sentences, question after question."""
    return tuple(singular(word) for word in WORD.findall(text.lower()) if word not in STOP_WORDS)


@lru_cache(maxsize=20_000)
def singular(word: str) -> str:
    """Return an English word without its plural or possessive ending; short words stay as they are."""
    for ending in ("'s", "’s"):
        word = word.removesuffix(ending)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def sentence_scores(question: str, sentences: Sequence[str]) -> list[float]:
    """Return the BM25+ score of each sentence against the question; 0 where they share no topic word."""
    return word_scores(words(question), [words(sentence) for sentence in sentences])


def word_scores(asked: Sequence[str], corpus: Sequence[Sequence[str]]) -> list[float]:
    """Return the BM25+ score of each text, given as its topic words, against the asked words; each counts once.

    Source: Lv and Zhai, "Lower-bounding term frequency normalization", CIKM 2011, through rank-bm25;
    its constant for absent terms is taken off again.
    """
    distinct = list(dict.fromkeys(asked))
    if not distinct or not any(corpus):
        return [0.0] * len(corpus)
    # An absent term still adds idf * delta in BM25+, so the score of an empty document is the floor.
    ranker = BM25Plus([*corpus, []])
    scores = np.asarray(ranker.get_scores(distinct), np.float64)
    return [max(0.0, float(score)) for score in scores[:-1] - scores[-1]]


def overlap(claim: str, sentence: str) -> float:
    """Return the share, in [0, 1], of the claim's distinct topic words that the sentence has; 0 for none."""
    claimed = set(words(claim))
    return len(claimed & set(words(sentence))) / len(claimed) if claimed else 0.0
