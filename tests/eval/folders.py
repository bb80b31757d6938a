"""Small data folders, written for a test: three documents, questions, judgements and reference spans."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

SENTENCES = {
    "tides": [
        "Tides rise and fall twice a day in most harbours.",
        "The moon pulls the water towards itself.",
        "Spring tides come when sun and moon stand in line.",
    ],
    "bread": [
        "Sourdough rises because wild yeast makes gas.",
        "A baker feeds the starter flour and water every day.",
        "Rye dough is sticky and needs a tin.",
    ],
    "bees": [
        "A worker bee lives about six weeks in summer.",
        "The queen lays up to two thousand eggs a day.",
        "Bees tell each other of flowers by dancing.",
    ],
}
ANSWERS = {
    "q1": ("When do spring tides come?", "tides", 2),
    "q2": ("Why does sourdough rise?", "bread", 0),
    "q3": ("How many eggs does the queen lay a day?", "bees", 1),
}


def written_set(folder: Path, answers: Mapping[str, tuple[str, str, int]] = ANSWERS) -> Path:
    """Return `folder`, filled with the documents and with one question, judgement and span per answer."""
    folder.mkdir(parents=True)
    texts = {name: " ".join(sentences) for name, sentences in SENTENCES.items()}
    lines(folder / "corpus.jsonl", ({"id": name, "title": name, "text": text} for name, text in texts.items()))
    asked = ({"id": name, "text": text, "corpus_id": of} for name, (text, of, _) in answers.items())
    lines(folder / "queries.jsonl", asked)
    spans = []
    for name, (_, document, at) in answers.items():
        start = texts[document].index(SENTENCES[document][at])
        end = start + len(SENTENCES[document][at])
        spans.append({"query_id": name, "doc_id": document, "start": start, "end": end})
    lines(folder / "spans.jsonl", spans)
    judged = "".join(f"{name}\t{document}\t1\n" for name, (_, document, _) in answers.items())
    (folder / "qrels.tsv").write_text(f"query-id\tcorpus-id\tscore\n{judged}", encoding="utf-8")
    return folder


def folder_of(folder: Path, files: Mapping[str, Sequence[Mapping[str, object]]]) -> Path:
    """Return `folder`, made, with files of JSON lines, or of CSV where their name says so."""
    folder.mkdir()
    for name, rows in files.items():
        if name.endswith(".csv"):
            with (folder / name).open("w", encoding="utf-8", newline="") as file:
                csv.writer(file).writerows([[*rows[0]], *(row.values() for row in rows)])
        else:
            lines(folder / name, rows)
    return folder


def lines(path: Path, rows: Iterable[Mapping[str, object]]) -> None:
    """Write JSON objects, one to a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
