"""What the verifier is trained on: pairs of the sets, pairs of intents, and pairs made from single questions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from eval.cache.edits import another_question, same_question
from eval.cache.sets import (
    QuestionPair,
    QuestionSet,
    Utterance,
    Vectors,
    intent_pairs,
    read_question_set,
)
from eval.cache.splits import held_out, is_drawn, key_of
from eval.datasets import jsonl_in, rows_in
from eval.pairs.values import Pair
from eval.routing.sets import Encode, shipped_vectors
from ragopt.evidence import words
from ragopt.slots import slots_of

# Of a set of pairs: the share that is never trained on and the share that chooses the epoch and the calibration.
TEST_SHARE, CHOICE_SHARE = 0.2, 0.06
# Of an intent set: the share of intents that are never trained on.
NEW_INTENTS = 0.25
# Of intents equality is coarser than of questions: they teach, but they do not decide.
INTENT_WEIGHT = 0.7
TEXTS_PER_INTENT = 36
# Pairs without a word in common are told apart by anything: few of them are enough.
FAR_SHARE = 0.1
LONGEST_MADE = 200
PAIRS_PER_TALK = 2
MADE = 2_400
# Questions of the sets of pairs that pairs are made from as well.
ALSO_EDITED = 2_000


@dataclass(frozen=True, slots=True)
class Material:
    """Pairs to train on and pairs that choose. digests: of the sets whose questions are in it, by name."""

    train: tuple[Pair, ...]
    choice: tuple[QuestionPair, ...]
    digests: dict[str, str]


async def material_of(folders: Sequence[Path], *, seed: int, encode: Encode = shipped_vectors) -> Material:
    """Return what to train on. No question of it is one that is kept for testing, in whichever folder.

    Raises: `DatasetError`, or if a folder holds neither pairs, intents nor rewrites.
    """
    rng = np.random.default_rng(seed)
    known = [folder for folder in folders if jsonl_in(folder, "pairs") or jsonl_in(folder, "intents")]
    sets = [read_question_set(folder) for folder in known]
    train: list[Pair] = []
    choice: list[QuestionPair] = []
    for question_set in sets:
        if question_set.utterances:
            drawn = drawn_utterances(question_set, rng)
            vectors = (await encode([item.text for item in drawn])).astype(np.float32)
            train += of_intents(question_set, drawn, vectors, seed=seed)
        else:
            pairs, chosen = of_pairs(question_set, rng)
            train, choice = train + pairs, choice + chosen
    conversations = [talk for folder in folders for talk in conversations_in(folder)]
    questions = [question for talk in conversations for question in talk] + [pair.a for pair in train[:ALSO_EDITED]]
    train += made_from(questions, rng, count=MADE) + of_conversations(conversations, rng)
    hidden = {key_of(text) for question_set in sets for text in hidden_texts(question_set)}
    kept = tuple(pair for pair in train if not {key_of(pair.a), key_of(pair.b)} & hidden)
    return Material(kept, tuple(choice), {question_set.name: question_set.digest for question_set in sets})


def hidden_texts(question_set: QuestionSet) -> list[str]:
    """Return the questions of a set that are for testing."""
    if question_set.utterances:
        return [item.text for item in question_set.utterances if not is_learned(item)]
    rest, test = held_out(question_set.pairs, share=TEST_SHARE, salt="test")
    _, choice = held_out(rest, share=CHOICE_SHARE, salt="choice")
    return [text for pair in test + choice for text in (pair.a, pair.b)]


def pairs_for_testing(question_set: QuestionSet) -> list[QuestionPair]:
    """Return the pairs of a set that are never trained on."""
    return held_out(question_set.pairs, share=TEST_SHARE, salt="test")[1]


def of_pairs(question_set: QuestionSet, rng: np.random.Generator) -> tuple[list[Pair], list[QuestionPair]]:
    """Return the pairs of a set to train on, most of the easy ones left out, and those that choose."""
    rest = held_out(question_set.pairs, share=TEST_SHARE, salt="test")[0]
    train, choice = held_out(rest, share=CHOICE_SHARE, salt="choice")
    kept = [pair for pair in train if pair.same or share_a_word(pair.a, pair.b) or rng.random() < FAR_SHARE]
    return [Pair(pair.a, pair.b, int(pair.same), source=question_set.name) for pair in kept], choice


def share_a_word(one: str, other: str) -> bool:
    """Return whether the two questions have a word in common that is no stop word."""
    return bool({*words(one)} & {*words(other)})


def is_learned(item: Utterance) -> bool:
    """Return whether the utterance is in the part of its set that may be trained on."""
    return item.split in ("", "train") and not is_new_intent(item.intent)


def is_new_intent(intent: str) -> bool:
    """Return whether the intent is one of those that are never trained on."""
    return is_drawn(intent, share=NEW_INTENTS, salt="intent")


def drawn_utterances(question_set: QuestionSet, rng: np.random.Generator) -> list[Utterance]:
    """Return some utterances of each intent of the part that may be trained on."""
    found: dict[str, int] = {}
    drawn: list[Utterance] = []
    for at in rng.permutation(len(question_set.utterances)).tolist():
        item = question_set.utterances[at]
        if is_learned(item) and found.get(item.intent, 0) < TEXTS_PER_INTENT:
            found[item.intent] = found.get(item.intent, 0) + 1
            drawn.append(item)
    return drawn


def of_intents(
    question_set: QuestionSet, utterances: Sequence[Utterance], vectors: Vectors, *, seed: int
) -> list[Pair]:
    """Return pairs of one intent and their look-alikes, of the utterances that were drawn."""
    pairs = intent_pairs(utterances, vectors, per_text=1, seed=seed)
    return [Pair(pair.a, pair.b, int(pair.same), INTENT_WEIGHT, question_set.name) for pair in pairs]


def made_from(questions: Sequence[str], rng: np.random.Generator, *, count: int) -> list[Pair]:
    """Return about `count` pairs made from the questions, half of which ask the same.

    Of a pair that does not, the second question is often reworded as well, so that only what is asked tells the two
    kinds apart.
    """
    names = sorted(
        {
            question[slot.start : slot.end]
            for question in questions
            for slot in slots_of(question)
            if slot.kind == "name"
        }
    )
    found: list[Pair] = []
    for at in rng.permutation(len(questions)).tolist():
        question = questions[at]
        same, other = same_question(question, rng), another_question(question, rng, names=names)
        if other is not None and rng.random() < 0.3:
            other = same_question(other, rng) or other
        found += [Pair(question, made, label, source="made") for made, label in ((same, 1), (other, 0)) if made]
        if len(found) >= count:
            break
    return found[:count]


def of_conversations(conversations: Sequence[Sequence[str]], rng: np.random.Generator) -> list[Pair]:
    """Return pairs of two questions of one conversation: of the same things they ask something else."""
    found: list[Pair] = []
    for talk in conversations:
        drawn = [talk[at] for at in rng.permutation(len(talk))[: 2 * PAIRS_PER_TALK].tolist()]
        pairs = zip(drawn[::2], drawn[1::2], strict=False)
        found += [Pair(a, b, 0, source="conversations") for a, b in pairs if share_a_word(a, b)]
    return found


def conversations_in(folder: Path) -> list[list[str]]:
    """Return the distinct standalone questions of each conversation of a rewriting set. Raises: `DatasetError`."""
    found: dict[str, dict[str, str]] = {}
    for row in rows_in(folder, "rewrites"):
        text = row.text("rewrite")
        if len(text) <= LONGEST_MADE:
            # Ids end in the turn: `…#3` or `…<::>3`.
            talk = row.text("id").rpartition("#")[0] or row.text("id").rpartition("<::>")[0]
            found.setdefault(talk, {}).setdefault(" ".join(words(text)), text)
    return [list(texts.values()) for texts in found.values()]
