"""The parts of the benchmarks that are not times: their texts, their sums, and what is said when one cannot run."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from eval.__main__ import main, subjects
from eval.bench.answer import Timed, batch_of
from eval.bench.ingest import some_chunks
from eval.bench.job import BY_DEFAULT, SUBJECTS, BenchJob, bench, draw, machine
from eval.bench.service import running_service
from eval.bench.start import run_python
from eval.bench.texts import BenchTexts
from eval.errors import BenchError
from eval.intervals import exact
from eval.report import Report, Segment
from ragopt.config import load_settings


def generated(seed: int = 0) -> BenchTexts:
    """Return texts made from a seed alone."""
    return BenchTexts.of(None, chunks=100, seed=seed)


def test_generated_texts_are_distinct_and_the_same_for_a_seed() -> None:
    """No question or document id comes twice; the same seed makes the same text, another seed another."""
    questions = list(islice(generated().questions(), 500))
    documents = list(islice(generated().documents(), 20))
    assert len(set(questions)) == 500
    assert len({document.id for document in documents}) == len({document.text for document in documents}) == 20
    assert documents == list(islice(generated().documents(), 20))
    assert documents != list(islice(generated(seed=1).documents(), 20))


def test_a_folder_comes_first_and_generated_text_after_it(tmp_path: Path) -> None:
    """The folder's documents and questions are used in order, a repeated question once, then generated ones."""
    rows = {
        "corpus": [{"id": "d", "text": "Tea is hot."}],
        "queries": [{"id": "1", "text": "What is hot?"}, {"id": "2", "text": "What is hot?"}],
    }
    for name, lines in rows.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    texts = BenchTexts.of(tmp_path, chunks=10, seed=0)
    assert [document.id for document in islice(texts.documents(), 2)] == ["d", "generated/1"]
    assert list(islice(texts.questions(), 2)) == ["What is hot?", next(generated().questions())]


def test_generated_documents_make_real_chunks() -> None:
    """As many chunks as are timed, each a real piece of text of about the size ingest aims at."""
    chunks = some_chunks(generated(), load_settings())
    assert len(chunks) == len(set(chunks)) == 256
    assert all(150 < len(chunk) < 1_000 for chunk in chunks)


def test_a_batch_is_bounded_and_never_empty() -> None:
    """One chunk still takes one document; very many chunks take about half a megabyte."""
    documents = generated().documents()
    assert len(batch_of(documents, chunks=1)) == 1
    assert 400_000 < sum(len(document["text"]) for document in batch_of(documents, chunks=10**9)) < 600_000


def test_the_gap_is_what_the_stages_leave_unexplained() -> None:
    """Stages - overlap + other = total has no gap; half a millisecond that is missing is one."""
    timings = {"dense": 2.0, "bm25": 3.0, "overlap": 1.5, "other": 0.5, "total": 4.0}
    assert Timed(5.0, 100, timings).gap_ms() == pytest.approx(0)
    assert Timed(5.0, 100, timings | {"total": 4.5}).gap_ms() == pytest.approx(0.5)


def test_a_service_that_does_not_start_is_said_with_its_own_words(tmp_path: Path) -> None:
    """A data folder that is a file ends the service, and the error carries the last line it printed."""
    blocked = tmp_path / "blocked"
    blocked.write_text("", encoding="utf-8")
    with pytest.raises(BenchError, match="did not become ready") as raised, running_service(tmp_path, data_dir=blocked):
        pass
    assert "blocked" in str(raised.value)


def test_code_that_fails_is_not_timed() -> None:
    """A start that ends with an error is an error here, with its last line."""
    assert run_python("pass") > 0
    with pytest.raises(BenchError, match="ModuleNotFoundError"):
        run_python("import nothing_of_this_name")


def test_the_machine_is_described() -> None:
    """Processor, cores, Python and packages are there, none of them empty."""
    facts = machine()
    assert {"cpu", "cores", "python", "openvino", "torch", "sentence-transformers", "qdrant-edge-py"} <= set(facts)
    assert all(facts.values())


def test_subjects_keep_their_order_and_unknown_ones_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """`--only` takes names of subjects in any order, and a wrong name is a usage error that names it."""
    assert subjects("start,ingest") == ("ingest", "start")
    assert subjects(",".join(SUBJECTS)) == SUBJECTS
    with pytest.raises(SystemExit, match="2"):
        main(["bench", "--only", "speed"])
    assert "'speed' is none of ingest, answer, start" in capsys.readouterr().err


def test_what_takes_minutes_runs_only_when_named() -> None:
    """Without names every subject runs but the growth to 100,000 chunks."""
    assert set(SUBJECTS) - set(BY_DEFAULT) == {"scale"}
    assert BenchJob().only == BY_DEFAULT


def test_a_plot_that_cannot_be_drawn_is_refused_before_anything_is_timed(tmp_path: Path) -> None:
    """It needs the subject that it draws, and a folder to lie in."""
    with pytest.raises(BenchError, match="--only scale"):
        bench(BenchJob(only=("rerank",), plot=tmp_path / "growth.svg"))
    with pytest.raises(BenchError, match="there is no folder"):
        bench(BenchJob(only=("scale",), plot=tmp_path / "missing" / "growth.svg"))


def test_a_plot_is_written_whole_or_said_not_to_be(tmp_path: Path) -> None:
    """The file holds the sizes of the report's segments; a path that is a folder is an error that names it."""
    keys = ("search.p50_ms", "search.p95_ms", "search+embed.p50_ms", "search+embed.p95_ms")
    segment = Segment(1, {key: exact(2.0) for key in keys})
    report = Report("bench.scale", "set", 1, 0, {}, {}, segments={"1,010 chunks": segment, "3,012 chunks": segment})
    draw(report, tmp_path / "growth.svg")
    text = (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert ">1,010<" in text
    assert ">3,012<" in text
    with pytest.raises(BenchError, match="directory"):
        draw(report, tmp_path)
