"""The form that an answer is asked to have, in words for a model. Pure."""

from __future__ import annotations

from ragopt.domain import Question

SENTENCES = "Answer in at most {} sentences."
ONE_SENTENCE = "Answer in one sentence."
# A model counts words, no tokens. Of English text a word is one and a third, and markers are tokens without words.
WORDS, WORDS_A_TOKEN = "Use at most {} words.", 0.6
SCHEMA = """Answer with one JSON value that matches the JSON schema below, and with nothing else: no words around it,
no code fence. Cite inside the strings, like "eight dollars a month [1]". Only where the passages do not answer the
question, reply with the sentence of the rules instead of JSON.
{}"""


def instructions_of(question: Question) -> str:
    """Return what is asked of the answer's form: the application's words, sentences and words at most, a schema.

    "" where nothing is asked.
    """
    asked = [question.instructions]
    if question.max_sentences is not None:
        asked.append(ONE_SENTENCE if question.max_sentences == 1 else SENTENCES.format(question.max_sentences))
    if question.max_output_tokens is not None:
        asked.append(WORDS.format(max(1, int(WORDS_A_TOKEN * question.max_output_tokens))))
    if question.answer_schema:
        asked.append(SCHEMA.format(question.answer_schema))
    return "\n".join(part for part in asked if part)


def in_paragraphs(*texts: str) -> str:
    """Return the texts that say something, a blank line between two."""
    return "\n\n".join(text for text in texts if text)
