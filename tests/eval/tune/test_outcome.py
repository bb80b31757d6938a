"""What a run says: the report, the plot, the knobs file and the price, from made-up rows."""

from __future__ import annotations

import asyncio
import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from eval.intervals import exact
from eval.report import as_json, as_table
from eval.tune.bound import BoundRow, BoundTuning
from eval.tune.choose import Rule
from eval.tune.knobs_file import knobs_toml
from eval.tune.meter import Meter
from eval.tune.outcome import Outcome, outcome_of, price_of
from eval.tune.plot import LABEL_HEIGHT, pareto_svg
from eval.tune.report import markdown, report_of
from eval.tune.search import Search
from eval.tune.tiers import Graded, TierRow, TierSetting, TierTuning
from eval.tune.trials import TrialFile
from ragopt.config import Settings, load_settings
from tests.environment import environment
from tests.eval.tune.rows import MadeUpAsk, space, workload

MODELS = """
[[models]]
name = "strong"
provider = "openai"
model = "unheard-of"
tier = "complex"
price = { input = 10, output = 30 }

[[models]]
name = "weak"
provider = "openai"
model = "unheard-of"
"""


def settings_of(folder: Path, models: str = "") -> Settings:
    file = folder / "ragopt.toml"
    file.write_text(models, encoding="utf-8")
    with environment(RAGOPT_CONFIG=str(file)):
        return load_settings(data_dir=folder)


def outcome_in(
    folder: Path, *, models: str = "", derived: bool = False, enough: Mapping[str, int] | None = None
) -> Outcome:
    """Return the outcome of 80 made-up questions in two segments. enough: the budget that holds all, by segment."""
    asked = workload(80, segments=("hr", "it & ops"), derived=derived)
    trials = TrialFile(folder / "trials.jsonl", {})
    rule = Rule(seed=3)
    with Meter(corpus_chars=1000) as meter:
        search = Search(
            space(), asked.dataset.queries, ask=MadeUpAsk(enough=enough), trials=trials, meter=meter, rule=rule
        )
        found = asyncio.run(search.run())
    return outcome_of(asked, settings_of(folder, models), space=space(), found=found, rule=rule)


def test_the_report_names_profiles_segments_and_what_was_searched(tmp_path: Path) -> None:
    """400 tokens hold as much as 800, 200 do not, and every table says so."""
    page = markdown(outcome_in(tmp_path))
    assert "| balanced | chunk_tokens=100, top_k=20, context_tokens=400 | 395 | 95.1 [" in page
    assert "| configured now | chunk_tokens=100, top_k=50, context_tokens=800 | 795 |" in page
    assert "| it & ops | 40 | balanced | as everybody | 395, 95.0 | 395, 95.0 | 395, – | no |" in page
    assert "Rounds: 12 candidates on 20 questions," in page
    assert "Folds that choose the same as all: quality 2 of 2" in page
    assert "Nobody asked" not in page
    assert "USD" not in page


def test_a_report_on_derived_questions_says_so_first(tmp_path: Path) -> None:
    """The warning stands before any figure."""
    page = markdown(outcome_in(tmp_path, derived=True))
    assert page.index("Nobody asked these questions") < page.index("## Profiles")


def test_contexts_are_priced_at_the_strongest_model(tmp_path: Path) -> None:
    """395 tokens at 10 USD a million, a thousand times: 3.95 USD. Without a paid model there is no price."""
    outcome = outcome_in(tmp_path, models=MODELS)
    assert "USD per 1,000 (strong)" in markdown(outcome)
    assert report_of(outcome).metrics["usd_per_1000.balanced"].value == 3.95
    assert price_of(settings_of(tmp_path)) is None
    unpriced = outcome_in(tmp_path, models='[[models]]\nname = "x"\nprovider = "openai"\nmodel = "unheard-of"')
    assert "| unknown |" in markdown(unpriced)


def test_the_report_for_programs_holds_each_profile(tmp_path: Path) -> None:
    """Quality, tokens, held-out figures and knobs of every profile, and the segments."""
    report = report_of(outcome_in(tmp_path))
    for profile in ("quality", "balanced", "cost", "latency"):
        assert report.metrics[f"quality.{profile}"].value > 0.9
        assert report.metrics[f"held_out_quality.{profile}"].value > 0.9
        assert report.config[f"{profile}.chunk_tokens"] == 100
    assert report.metrics["tokens.configured"].value == 795
    assert set(report.segments) == {"hr", "it & ops"}
    assert '"job": "tune"' in as_json(report)
    assert "tune on drinks" in as_table(report)


def test_the_knobs_file_holds_source_index_and_profiles(tmp_path: Path) -> None:
    """It is TOML; a profile has query knobs alone and the index the chunk size; a segment without a choice has none."""
    outcome = outcome_in(tmp_path)
    tables = tomllib.loads(knobs_toml(outcome))
    assert tables["index"] == {"chunk_tokens": 100}
    assert set(tables["profiles"]) == {"quality", "balanced", "cost", "latency"}
    segments: dict[str, object] = {"hr": {}, "it & ops": {}}
    assert tables["profiles"]["balanced"] == {"top_k": 20, "context_tokens": 400, "segments": segments}
    assert set(tables) == {"source", "index", "profiles"}
    assert tables["source"]["set"] == "drinks"
    assert (tables["source"]["questions"], tables["source"]["derived"], tables["source"]["seed"]) == (80, False, 3)


def test_a_service_asks_the_questions_of_a_segment_as_the_tuner_wrote(tmp_path: Path) -> None:
    """What 200 tokens hold needs no 800: the file says so for that segment alone, and a collection that names it knows.

    The other segment needs what everybody gets, and its table is there and empty.
    """
    outcome = outcome_in(tmp_path, enough={"hr": 800, "it & ops": 200})
    file = tmp_path / "knobs.toml"
    file.write_text(knobs_toml(outcome), encoding="utf-8")
    tables = tomllib.loads(file.read_text(encoding="utf-8"))
    assert tables["profiles"]["balanced"]["context_tokens"] == 800
    for profile in ("balanced", "cost", "latency"):
        assert tables["profiles"][profile]["segments"] == {"hr": {}, "it & ops": {"context_tokens": 200}}
    assert "| it & ops | 40 | balanced | chunk_tokens=100, top_k=20, context_tokens=200 |" in markdown(outcome)
    assert report_of(outcome).segments["it & ops"].metrics["tokens.own"].value == 195
    entries = "".join(f'[[collections]]\nname = "{name[:2]}"\nsegment = "{name}"\n' for name in ("hr", "it & ops"))
    (tmp_path / "ragopt.toml").write_text(entries, encoding="utf-8")
    with environment(RAGOPT_CONFIG=str(tmp_path / "ragopt.toml"), RAGOPT_KNOBS_FILE=str(file)):
        settings = load_settings(data_dir=tmp_path)
    budgets = [settings.knobs_of(tenant="t", collection=name).context_tokens for name in ("hr", "it", "other")]
    assert budgets == [800, 200, 800]


def test_the_same_seed_writes_the_same_files(tmp_path: Path) -> None:
    """Two runs from nothing: report, plot and knobs are equal to the last character."""
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = outcome_in(tmp_path / "one"), outcome_in(tmp_path / "two")
    for written in (markdown, pareto_svg, knobs_toml):
        assert written(one) == written(two)


def test_the_plot_is_svg_with_every_profile_labelled(tmp_path: Path) -> None:
    """It parses, draws a dot for each candidate, and its labels stay inside and apart."""
    outcome = outcome_in(tmp_path)
    root = ElementTree.fromstring(pareto_svg(outcome))  # noqa: S314 - our own
    texts = [(item, item.text or "") for item in root.iter("{http://www.w3.org/2000/svg}text")]
    said = " ".join(text for _, text in texts)
    assert all(name in said for name in ("quality", "balanced", "cost", "latency", "now", "Pareto front"))
    dots = [item for item in root.iter("{http://www.w3.org/2000/svg}circle") if item.get("r") == "3"]
    assert len(dots) - 2 == len(outcome.found.rows) + sum(
        100 * row.mean_quality() >= 60 for row in outcome.found.dropped
    )
    figures = [item for item, text in texts if re.fullmatch(r"\d+ tokens, [\d.]+ %", text)]
    places = sorted((float(item.get("x", "0")), float(item.get("y", "0"))) for item in figures)
    assert all(0 < x < 820 and 0 < y < 520 for x, y in places)
    assert all(abs(a[0] - b[0]) > 60 or abs(a[1] - b[1]) >= LABEL_HEIGHT for a in places for b in places if a < b)


def test_recorded_answers_and_pairs_add_their_tables(tmp_path: Path) -> None:
    """The report shows both, the profiles carry them, and a service reads the file."""
    setting = TierSetting(0.4, 0.8, ("small", "small", "large"))
    row = TierRow(setting, np.array([1.0, 1.0]), np.array([0.001, 0.01]))
    tiers = TierTuning(
        Graded(("small", "large"), np.array([0.1, 0.9]), np.ones((2, 2)), np.ones((2, 2))),
        dict.fromkeys(("quality", "balanced", "cost", "latency"), row),
        front=[row],
        configured=row,
        held_out={},
    )
    bound = BoundTuning(400, 200, 10, [BoundRow(0.02, exact(0.3), exact(0.01), worth=20)])
    outcome = replace(outcome_in(tmp_path), tiers=tiers, bound=bound)
    page = markdown(outcome)
    assert "| balanced | medium_from=0.4, complex_from=0.8, simple=small, medium=small, complex=large | 5.50 |" in page
    assert "- `small`: simple and medium" in page
    assert "Chosen: 0.02." in page
    file = tmp_path / "knobs.toml"
    file.write_text(knobs_toml(outcome), encoding="utf-8")
    with environment(RAGOPT_KNOBS_FILE=str(file), RAGOPT_PROFILE="cost", RAGOPT_ROUTING__CASCADE="false"):
        settings = load_settings(data_dir=tmp_path)
    assert (settings.routing.medium_from, settings.routing.complex_from, settings.routing.cascade) == (0.4, 0.8, False)
    assert settings.cache.max_wrong == 0.02
    assert report_of(outcome).metrics["bound"].value == 0.02
    nothing = replace(outcome, bound=replace(bound, rows=[BoundRow(0.02, exact(0.3), exact(0.5), worth=-1)]))
    assert tomllib.loads(knobs_toml(nothing))["profiles"]["cost"]["cache"] == {"semantic": False}
