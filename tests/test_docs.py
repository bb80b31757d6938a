"""The documentation is complete, matches the code, and its examples are well formed."""

from __future__ import annotations

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from docs import generate_reference, pictures, record_tour
from ragopt.api.document_schemas import IngestResponse
from ragopt.api.schemas import AnswerResponse, ContextResponse, ProblemOut, Wire
from ragopt.cli.entry import SUMMARIES, main
from ragopt.config import Settings
from ragopt.settings.models import ModelSettings
from tests.house.source import ROOT
from tests.pages import EVERY_PAGE, LINK, PAGES, anchors, blocks, commands, prose, steps
from tests.parsing import understood

WRITTEN_PAGES = [page for page in PAGES if page.name != "reference.md"]
MAX_PAGE_LINES = 150


def text_of(name: str) -> str:
    """Return the text of one page."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def examples(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one language."""
    return [block.body for block in blocks(page, language)]


def test_reference_is_what_the_code_says() -> None:
    """docs/reference.md is up to date: `make docs` would change nothing."""
    assert text_of("reference.md") == generate_reference.render()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_setting_is_documented(name: str) -> None:
    """Every setting is named, with what it means, in the README or the reference."""
    documented = text_of("reference.md") + (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"`RAGOPT_{name.upper()}`" in documented
    assert Settings.model_fields[name].description


@pytest.mark.parametrize("code", [row[0] for row in generate_reference.error_rows()])
def test_error_code_is_explained(code: str) -> None:
    """Every error code is in the reference, and troubleshooting says what to do about it."""
    assert f"| {code} |" in text_of("reference.md")
    assert f"- {code}:" in text_of("troubleshooting.md")


COMMANDS = re.findall(r"^\| `ragopt ([a-z]+(?: (?:create|list|revoke|check))?)", text_of("reference.md"), re.MULTILINE)


@pytest.mark.parametrize("command", [*SUMMARIES, *COMMANDS])
def test_command_is_documented_and_there(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command is in the reference, and every command in the reference explains itself."""
    with pytest.raises(SystemExit) as ended:
        main([*command.split(), "--help"])
    assert ended.value.code == 0
    assert "usage: ragopt" in capsys.readouterr().out
    assert command in COMMANDS or any(item.startswith(f"{command} ") for item in COMMANDS)


def test_no_page_names_a_setting_that_is_not_there() -> None:
    """Every `RAGOPT_` variable a page or the compose file speaks of is a setting, or names the settings file."""
    known = {f"RAGOPT_{name.upper()}" for name in Settings.model_fields} | {"RAGOPT_CONFIG"}
    files = [*PAGES, ROOT / "README.md", ROOT / "docker-compose.yml", ROOT / "Dockerfile"]
    named = {name for file in files for name in re.findall(r"\bRAGOPT_[A-Z_]*[A-Z]", file.read_text(encoding="utf-8"))}
    assert named - known == set()


@pytest.mark.parametrize("page", WRITTEN_PAGES, ids=lambda page: page.name)
def test_page_is_short(page: Path) -> None:
    """A page can be read in one go, and is reachable from the first one."""
    assert page.read_text(encoding="utf-8").count("\n") <= MAX_PAGE_LINES
    assert page.name == "index.md" or f"({page.name})" in text_of("index.md")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_well_formed(page: Path) -> None:
    """JSON, TOML, YAML and Python examples parse; model examples are valid settings."""
    problems: list[object] = [json.loads(body) for body in examples(page, "json") if not body.startswith("{")]
    for body in examples(page, "json"):
        json.loads(body)
    for body in examples(page, "yaml"):
        assert isinstance(yaml.safe_load(body), dict)
    for body in examples(page, "python"):
        ast.parse(body)
    for body in examples(page, "toml"):
        loaded = tomllib.loads(body)
        for model in loaded.get("models", []):
            ModelSettings.model_validate(model)
        problems += [key for key in loaded if key not in {*Settings.model_fields, "price"}]
    assert problems == []


@pytest.mark.parametrize(
    ("page", "at", "shape"),
    [
        ("answering.md", 0, ContextResponse),
        ("answering.md", 1, AnswerResponse),
        ("ingestion.md", 0, IngestResponse),
        ("troubleshooting.md", 0, ProblemOut),
    ],
)
def test_example_response_has_real_fields(page: str, at: int, shape: type[Wire]) -> None:
    """An example response names only fields that the wire format has."""
    example = json.loads(examples(ROOT / "docs" / page, "json")[at])
    assert set(example) - set(shape.model_fields) == set()


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.name)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    """Every relative link names a file that is there, and every anchor a heading of it."""
    missing = []
    for name, anchor in LINK.findall(prose(page)):
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor.removeprefix("#") not in anchors(target)):
            missing.append(f"{name}{anchor}")
    assert missing == []


@pytest.mark.parametrize("page", EVERY_PAGE, ids=lambda page: page.name)
def test_commands_are_understood(page: Path) -> None:
    """Every `ragopt …` and `python -m eval …` of a block passes the real parser; in a sentence its flags are known."""
    assert [" ".join(words) for words, named in commands(page) if not understood(words, named=named)] == []


def test_the_steps_of_a_pipeline_are_commands_too() -> None:
    """The gate that docs/comparing.md shows for a pipeline is read like a line of a shell, its installation as well."""
    page = ROOT / "docs" / "comparing.md"
    assert [text.partition(" ")[0] for text in steps(page)] == ["pip", "python"]
    gate = ["gate", "--baseline", "eval/results.jsonl", "--data", "eval/handbook"]
    assert (["eval", *gate], False) in list(commands(page))


def test_the_tour_is_what_is_recorded() -> None:
    """Every command of docs/tour.md is a step of what records it: `python -m docs.record_tour` writes the page anew."""
    shown = [block.body.rstrip("\n") for block in blocks(ROOT / "docs" / "tour.md", "sh")]
    assert shown == [step.does for step in record_tour.STEPS]


@pytest.mark.parametrize("picture", sorted((ROOT / "docs" / "pictures").glob("*.png")), ids=lambda path: path.name)
def test_pictures_are_small_and_shown(picture: Path) -> None:
    """Nobody waits for a page, and no picture is left over."""
    assert picture.stat().st_size <= pictures.MOST_BYTES
    assert any(f"pictures/{picture.name})" in prose(page) for page in EVERY_PAGE)
