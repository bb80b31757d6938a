"""Names and places in a text, by Presidio over a spaCy pipeline; the extra `presidio` brings it.

Of Presidio's recognisers only the one that reads the pipeline's entities is there: what has a form is found without a
model, and one of the others asks the network.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from indexes.sentences import hidden_module
from ragopt.errors import ConfigError
from ragopt.privacy.recognisers import Finding, Kind
from ragopt.settings.privacy import PrivacySettings

if TYPE_CHECKING:
    from spacy.language import Language

Analyse: TypeAlias = Callable[[str], list[Finding]]

MODEL, ENTITIES = "RAGOPT_PRIVACY__MODEL", "RAGOPT_PRIVACY__ENTITIES"
INSTALL = "pip install 'ragopt[presidio]'"
# Read at once: so much of a document an answer waits for at most.
PIECE_CHARS = 1_000
CUTS = ("\n", ". ", " ")
# Read beyond a cut, for a name that it goes through.
BEYOND_CHARS = 100
# Packages of pipelines that run on torch: spaCy has to see it when it is first imported.
ON_TORCH = ("spacy_transformers", "spacy_curated_transformers")
# Components of the pipelines that spaCy's makers train: those that find entities, and those that no such one reads.
READING = frozenset({"tok2vec", "transformer", "curated_transformer", "ner"})
SPARED = frozenset(
    {
        *("tagger", "morphologizer", "parser", "senter", "sentencizer"),
        *("attribute_ruler", "lemmatizer", "trainable_lemmatizer"),
    }
)


class PresidioRecogniser:
    """Finds names and places; satisfies `ragopt.privacy.recognition.Trained`.

    One thread reads, piece by piece and first come, first served: a pipeline is not made for several at once.
    """

    def __init__(self, analyse: Analyse, kinds: frozenset[Kind]) -> None:
        self.kinds = kinds
        self._analyse = analyse
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="presidio")

    @classmethod
    def load(cls, settings: PrivacySettings) -> PresidioRecogniser:
        """Return the recogniser of the configured pipeline, warmed up; blocking.

        Raises: `ConfigError` if the extra is not installed, the pipeline cannot be loaded, or it recognises none of the
        wanted entities.
        """
        analyse = analyser(settings)
        analyse("The first text takes longest.")
        return cls(analyse, frozenset(settings.entities.values()))

    def find(self, text: str) -> list[Finding]:
        """Return the names and places of a text, ascending and disjoint; blocking."""
        found: list[Finding] = []
        for piece in pieces(text):
            found += new_in(piece, self._thread.submit(self._analyse, piece.text).result(), found)
        return found

    async def find_async(self, text: str) -> list[Finding]:
        """Return the same; the event loop goes on meanwhile."""
        loop = asyncio.get_running_loop()
        found: list[Finding] = []
        for piece in pieces(text):
            found += new_in(piece, await loop.run_in_executor(self._thread, self._analyse, piece.text), found)
        return found

    def close(self) -> None:
        """End the thread after the piece it is at; the recogniser is not used afterwards."""
        self._thread.shutdown(cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Piece:
    """What is read at once: a part of a text from `start` on, `length` long, and a little of what stands behind it."""

    start: int
    length: int
    text: str


def pieces(text: str) -> Iterator[Piece]:
    """Yield the parts of a text that hold a letter: cut after a line, a sentence or a word."""
    start = 0
    while start < len(text):
        end = start + PIECE_CHARS
        if end < len(text):
            half = start + PIECE_CHARS // 2
            cuts = (text.rfind(mark, half, end) + len(mark) for mark in CUTS if mark in text[half:end])
            end = next(cuts, end)
        if any(map(str.isalpha, text[start:end])):
            yield Piece(start, min(end, len(text)) - start, text[start : end + BEYOND_CHARS])
        start = end


def new_in(piece: Piece, found: Sequence[Finding], before: Sequence[Finding]) -> Iterator[Finding]:
    """Yield what was found in a piece and begins in it and in no finding before, at its place in the whole text."""
    free = before[-1].end if before else 0
    for item in found:
        if item.start < piece.length and piece.start + item.start >= free:
            yield Finding(item.kind, piece.start + item.start, piece.start + item.end)


def analyser(settings: PrivacySettings) -> Analyse:
    """Return what finds the wanted entities of a piece. Raises: `ConfigError`."""
    try:
        with light_imports():
            from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
            from presidio_analyzer.nlp_engine import NerModelConfiguration, SpacyNlpEngine
            from presidio_analyzer.predefined_recognizers import SpacyRecognizer
    except ImportError as error:
        raise ConfigError(f"{MODEL}: Presidio cannot be imported ({error}): {INSTALL}") from error
    pipeline, wanted = pipeline_of(settings.model), list(settings.entities)
    mapping = NerModelConfiguration().model_to_presidio_entity_mapping or {}
    called = {label: mapping.get(label, label) for label in labels_of(pipeline, wanted)}
    if missing := set(wanted) - set(called.values()):
        raise ConfigError(f"{ENTITIES}: {settings.model} recognises no {', '.join(sorted(missing))}")
    ignored = [label for label, entity in called.items() if entity not in wanted]
    engine = SpacyNlpEngine(ner_model_configuration=NerModelConfiguration(labels_to_ignore=ignored))
    # Its own `load` would download a pipeline that is not there.
    engine.nlp = {pipeline.lang: pipeline}
    recogniser = SpacyRecognizer(supported_language=pipeline.lang, supported_entities=wanted)
    registry = RecognizerRegistry([recogniser], supported_languages=[pipeline.lang])
    presidio = AnalyzerEngine(registry, engine, supported_languages=[pipeline.lang])

    def analyse(text: str) -> list[Finding]:
        # spaCy refuses half a surrogate pair, and every word that it sees outside such a block stays for good.
        with pipeline.memory_zone():
            whole = text.encode("utf-8", "replace").decode()
            found = presidio.analyze(whole, pipeline.lang, entities=wanted)
        named = (Finding(settings.entities[item.entity_type], item.start, item.end) for item in found)
        return sorted(named, key=lambda item: item.start)

    return analyse


@contextmanager
def light_imports() -> Iterator[None]:
    """Hide what Presidio and spaCy import wherever they find it and a pipeline without transformers never uses."""
    with ExitStack() as hidden:
        if not any(importlib.util.find_spec(package) for package in ON_TORCH):
            hidden.enter_context(hidden_module("torch"))
        hidden.enter_context(hidden_module("transformers"))
        yield


def pipeline_of(model: str) -> Language:
    """Return a pipeline by its name or folder, without components that entities do not need. Raises: `ConfigError`."""
    import spacy

    try:
        pipeline = spacy.load(model)
    except Exception as error:  # what loading it runs may be anybody's code
        raise ConfigError(f"{MODEL}: spaCy cannot load {model!r}: {error}") from error
    made_of = {name: pipeline.get_pipe_meta(name).factory for name in pipeline.pipe_names}
    if set(made_of.values()) <= READING | SPARED:
        pipeline.select_pipes(enable=[name for name, factory in made_of.items() if factory in READING])
    return pipeline


def labels_of(pipeline: Language, wanted: Sequence[str]) -> list[str]:
    """Return the labels of a pipeline's components; the wanted entities where one of them does not say its own."""
    labels: list[str] = []
    for _, component in pipeline.pipeline:
        if not hasattr(component, "labels"):
            return list(wanted)
        labels += component.labels
    return labels
