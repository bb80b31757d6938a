"""A small real spaCy pipeline that knows a few names and places, as a folder."""

from __future__ import annotations

from pathlib import Path

from indexes.sentences import sentencizer

PATTERNS = [
    {"label": "PERSON", "pattern": "Ada Lovelace"},
    {"label": "PERSON", "pattern": "Grace Hopper"},
    # Models read across white space, and take an address that follows a name for a part of it.
    {"label": "PERSON", "pattern": [{"LOWER": "grace"}, {"IS_SPACE": True}, {"LOWER": "hopper"}]},
    {"label": "PERSON", "pattern": [{"LOWER": "hopper"}, {"LIKE_EMAIL": True}]},
    {"label": "PERSON", "pattern": "NAME"},
    {"label": "PERSON", "pattern": "100"},
    {"label": "GPE", "pattern": "Grenoble"},
    {"label": "ORG", "pattern": "Difference Engines"},
]


def saved_pipeline(folder: Path, patterns: list[dict[str, object]] | None = None, *, function: bool = False) -> Path:
    """Return the folder of a pipeline that finds the patterns, those above unless told; [] for none of its own.

    function: whether it has a component besides that is a mere function.
    """
    sentencizer()  # spaCy without torch
    import spacy

    pipeline = spacy.blank("en")
    chosen = PATTERNS if patterns is None else patterns
    if chosen:
        pipeline.add_pipe("entity_ruler").add_patterns(chosen)
    if function:
        spacy.Language.component("ragopt_nothing", func=lambda doc: doc)
        pipeline.add_pipe("ragopt_nothing")
    pipeline.to_disk(folder)
    return folder
