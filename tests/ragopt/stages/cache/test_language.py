"""In which language a question is asked."""

from __future__ import annotations

import pytest

from ragopt.stages.cache.language import language_of, may_share_an_answer


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is the capital of France?", "en"),
        ("Was ist die Hauptstadt von Frankreich und wie groß ist sie?", "de"),
        ("Quelle est la capitale de la France et où est-elle ?", "fr"),
        ("¿Cuál es la capital del país y por qué?", "es"),
        ("Qual è la capitale della Francia e perché?", "it"),
        ("Wat is de hoofdstad van het land en waar is het?", "nl"),
        ("Какая столица?", "CYRILLIC"),
        ("フランスの首都は？", "KATAKANA"),
        ("首都是什么", "CJK"),
        ("pip install", ""),
        ("42?", ""),
        ("", ""),
    ],
)
def test_language_of(text: str, language: str) -> None:
    """By its function words, its script beyond Latin letters, or not at all."""
    assert language_of(text) == language


def test_only_questions_of_one_language_share_an_answer() -> None:
    """What is not known forbids nothing."""
    english, german = "What is the tax?", "Was ist die Steuer und wie hoch ist sie?"
    assert may_share_an_answer(english, "How high is the tax?")
    assert may_share_an_answer(english, "tax rate")
    assert not may_share_an_answer(english, german)
    assert not may_share_an_answer(english, "Какая столица?")
