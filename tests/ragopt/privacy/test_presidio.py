"""Names and places are found by the real Presidio over a real spaCy pipeline."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ragopt.config import load_settings
from ragopt.errors import ConfigError
from ragopt.privacy.presidio import PIECE_CHARS, PresidioRecogniser, pieces
from ragopt.privacy.recognisers import Kind
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.privacy.redaction import redacted
from ragopt.settings.privacy import PrivacySettings
from ragopt.wiring.privacy import opened_recognisers
from tests.environment import environment
from tests.house.source import ROOT
from tests.ragopt.cli.running import environment as clean_environment
from tests.ragopt.cli.running import ragopt_here
from tests.ragopt.privacy.pipelines import saved_pipeline


@pytest.fixture(scope="module")
def model(module_dir: Path) -> Path:
    """Return the folder of the pipeline."""
    return saved_pipeline(module_dir / "pipeline")


@pytest.fixture(scope="module")
def recognisers(model: Path) -> Iterator[Recognisers]:
    """Yield what a configured pipeline finds beside what has a form."""
    with environment(RAGOPT_PRIVACY__MODEL=str(model)), opened_recognisers(load_settings()) as opened:
        yield opened


def found(text: str, recognisers: Recognisers) -> list[tuple[Kind, str]]:
    """Return what is found in a text."""
    return [(item.kind, text[item.start : item.end]) for item in recognisers.find(text)]


def test_names_and_places_are_found_beside_what_has_a_form(recognisers: Recognisers) -> None:
    """In the order of the text; an entity that nobody asked for is left alone."""
    text = "Ada Lovelace (ada@example.org) builds Difference Engines in Grenoble."
    assert found(text, recognisers) == [("name", "Ada Lovelace"), ("email", "ada@example.org"), ("address", "Grenoble")]
    assert found(text, OWN) == [("email", "ada@example.org")]
    assert recognisers.kinds - OWN.kinds == {"name", "address"}


def test_whoever_waits_for_an_answer_gets_the_same(recognisers: Recognisers) -> None:
    """The event loop goes on while the pipeline reads."""
    text = "Ada Lovelace writes to ada@example.org. " * 100
    assert asyncio.run(recognisers.find_async(text)) == recognisers.find(text)


def test_where_both_find_something_what_has_a_form_stays(recognisers: Recognisers) -> None:
    """What the pipeline took along beside it is replaced too."""
    assert redacted("Hopper hopper@example.org answers.", recognisers).text == "[NAME] [EMAIL] answers."


def test_what_was_redacted_stays_as_it_is(recognisers: Recognisers) -> None:
    """Even where a pipeline takes a placeholder for a name."""
    once = redacted("Ada Lovelace, then Grace Hopper in Grenoble", recognisers).text
    assert once == "[NAME], then [NAME] in [ADDRESS]"
    assert redacted(once, recognisers).text == once


def test_a_long_text_is_read_piece_by_piece(recognisers: Recognisers) -> None:
    """Pieces end where a line, a sentence or a word does, be it in a name; findings have their places in the whole."""
    for between in ("\n", ". ", " and "):
        text = f"Ada Lovelace{between}" * 600
        read = list(pieces(text))
        assert len(read) > 1
        assert "".join(piece.text[: piece.length] for piece in read) == text
        assert found(text, recognisers) == [("name", "Ada Lovelace")] * 600
    assert list(pieces("")) == list(pieces("12 34")) == []
    assert [piece.length for piece in pieces("x" * (PIECE_CHARS + 1))] == [PIECE_CHARS, 1]


def test_half_a_surrogate_pair_is_a_character_like_any_other(recognisers: Recognisers) -> None:
    """The pipeline would refuse the text."""
    assert redacted("\ud800 Ada Lovelace \udfff", recognisers).text == "\ud800 [NAME] \udfff"


def test_entities_are_those_of_the_settings(model: Path) -> None:
    """Places alone, or another label of the pipeline for a name."""
    trained = PresidioRecogniser.load(PrivacySettings(model=str(model), entities={"ORGANIZATION": "name"}))
    found = trained.find("Ada Lovelace builds Difference Engines in Grenoble.")
    trained.close()
    assert [(item.kind, item.start, item.end) for item in found] == [("name", 20, 38)]


@pytest.mark.parametrize(
    ("patterns", "missing"),
    [([], "no LOCATION, PERSON"), ([{"label": "GPE", "pattern": "Grenoble"}], "no PERSON")],
)
def test_a_pipeline_that_cannot_find_what_is_wanted_is_refused(
    tmp_path: Path, patterns: list[dict[str, object]], missing: str
) -> None:
    """Else a policy would hold that nothing carries out."""
    model = saved_pipeline(tmp_path / "other", patterns)
    with pytest.raises(ConfigError, match=f"^RAGOPT_PRIVACY__ENTITIES: {model} recognises {missing}$"):
        PresidioRecogniser.load(PrivacySettings(model=str(model)))


def test_a_component_may_keep_its_labels_to_itself(tmp_path: Path) -> None:
    """A function has none to tell: what it finds is taken as it comes."""
    model = saved_pipeline(tmp_path / "function", [{"label": "GPE", "pattern": "Grenoble"}], function=True)
    trained = PresidioRecogniser.load(PrivacySettings(model=str(model)))
    found = trained.find("From Grenoble")
    trained.close()
    assert [(item.kind, item.start) for item in found] == [("address", 5)]


@pytest.mark.parametrize("name", ["no_such_pipeline", "."])
def test_a_pipeline_that_cannot_be_loaded_is_refused(name: str) -> None:
    """Whether there is none, or a folder that holds none; nothing is downloaded."""
    with pytest.raises(ConfigError, match="^RAGOPT_PRIVACY__MODEL: spaCy cannot load"):
        PresidioRecogniser.load(PrivacySettings(model=name))


LOADING = """
import sys
{before}
from ragopt.config import load_settings
from ragopt.errors import ConfigError
from ragopt.wiring.privacy import opened_recognisers
asked = []
network = ("socket.connect", "socket.getaddr")
sys.addaudithook(lambda event, _: asked.append(event) if event.startswith(network) else None)
try:
    with opened_recognisers(load_settings()) as recognisers:
        found = [item.kind for item in recognisers.find("Ada Lovelace reads mail of ada@example.org in Grenoble.")]
except ConfigError as error:
    found = error.detail
heavy = {{"presidio_analyzer", "spacy", "torch", "transformers"}} & set(sys.modules)
import json
print(json.dumps([found, sorted(heavy), asked]))
"""


def loaded(cwd: Path, before: str = "", **settings: str) -> list[object]:
    """Return what a process of its own finds or why it does not start, what it imported, and whom it asked."""
    done = subprocess.run(
        [sys.executable, "-c", LOADING.format(before=before)],
        cwd=cwd,
        env={**clean_environment(**settings), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result: list[object] = json.loads(done.stdout)
    return result


def test_without_the_setting_nothing_is_imported(tmp_path: Path) -> None:
    """Off costs nothing."""
    assert loaded(tmp_path) == [["email"], [], []]


def test_nobody_is_asked_over_the_network(model: Path, tmp_path: Path) -> None:
    """Neither a pipeline nor a list of domains is fetched; a pipeline that needs no torch imports none."""
    expected = [["name", "email", "address"], ["presidio_analyzer", "spacy"], []]
    assert loaded(tmp_path, RAGOPT_PRIVACY__MODEL=str(model)) == expected


def test_without_the_extra_the_start_says_what_to_install(model: Path, tmp_path: Path) -> None:
    """With the name of the setting that asks for it."""
    absent = 'sys.modules["presidio_analyzer"] = None'
    said, *_ = loaded(tmp_path, absent, RAGOPT_PRIVACY__MODEL=str(model))
    assert isinstance(said, str)
    assert said.startswith("RAGOPT_PRIVACY__MODEL: Presidio cannot be imported")
    assert said.endswith("pip install 'ragopt[presidio]'")


def test_doctor_tries_the_pipeline(model: Path, tmp_path: Path) -> None:
    """It says what finds names, or why the service would not start; nothing where nobody asked for it."""

    def names(**settings: str) -> list[dict[str, object]]:
        checks = json.loads(ragopt_here("doctor", "--json", cwd=tmp_path, **settings).stdout)["checks"]
        return [check for check in checks if check["name"] == "names and places"]

    (good,) = names(RAGOPT_PRIVACY__MODEL=str(model))
    assert (good["ok"], good["needed"]) == (True, True)
    assert str(good["detail"]).startswith(f"{model} by presidio-analyzer ")
    assert str(good["detail"]).endswith("PERSON is name, LOCATION is address")
    (broken,) = names(RAGOPT_PRIVACY__MODEL="no_such_pipeline")
    assert not broken["ok"]
    assert "RAGOPT_PRIVACY__MODEL" in str(broken["detail"])
    assert names() == []
