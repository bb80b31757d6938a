"""What of a prompt is paid for without influence."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from eval.errors import ConfigurationError
from eval.intervals import Interval, exact
from eval.prompt_audit import (
    Audited,
    PromptJob,
    measure,
    model_named,
    silent_lines,
    stable_lines,
    trimmed_budget,
    without,
    without_lines,
)
from eval.stub import serve_in_thread
from ragopt.config import Settings
from ragopt.domain import Question
from ragopt.prompt import build_prompt
from ragopt.providers.deployment import Deployment
from ragopt.results import History, Prepared
from ragopt.settings.models import ModelSettings
from ragopt.wiring.models import deployment_of
from tests.environment import environment
from tests.eval.folders import written_set
from tests.fakes import context_of, passage


def asked(*cited: int, instructions: str = "") -> Audited:
    """Return a question with three passages, best first, of which some are cited."""
    context = context_of(*(replace(passage("word " * 50, n=n), tokens=50) for n in (1, 2, 3)))
    prompt = build_prompt(context, History(), instructions=instructions)
    return Audited(Prepared(Question("q", "t"), context, prompt), {}, frozenset(cited))


def test_what_each_part_costs(tmp_path: Path) -> None:
    """Rules, passages and question are counted and priced, and the cited share of the passages is told."""
    audit = asyncio.run(measure(written_set(tmp_path / "set"), PromptJob()))
    metrics = audit.report.metrics
    assert metrics["tokens.rules"].value > metrics["tokens.question"].value > 0
    assert metrics["usd_per_1000.passages"].value > 0
    assert 0 < metrics["passages_cited"].value <= 1
    assert metrics["context_needed.p50"].value <= metrics["context_needed.p95"].value


def test_what_a_collection_adds_is_paid_for_too(tmp_path: Path) -> None:
    """Its instructions and its examples are parts of each prompt, and the command's text stands behind the first."""
    example = {"question": "Why?", "passages": ["Because."], "answer": "Because [1]."}
    (tmp_path / "examples.jsonl").write_text(json.dumps(example))
    entry = f'[[collections]]\nname = "hr"\ninstructions = "Be formal."\nexamples = "{tmp_path / "examples.jsonl"}"\n'
    (tmp_path / "ragopt.toml").write_text(entry)
    with environment(RAGOPT_CONFIG=str(tmp_path / "ragopt.toml")):
        job = PromptJob(collection="hr", instructions="Use metres.")
        metrics = asyncio.run(measure(written_set(tmp_path / "set"), job)).report.metrics
        plain = asyncio.run(measure(written_set(tmp_path / "other"), PromptJob())).report.metrics
    assert metrics["tokens.examples"].value > 0
    assert metrics["tokens.application"].value > 0
    assert not {"tokens.examples", "tokens.application"} & set(plain)


def test_a_collection_s_prompts_have_the_budget_of_its_segment(tmp_path: Path) -> None:
    """As the service packs them: fewer passages than another collection's."""
    (tmp_path / "knobs.toml").write_text(
        "[profiles.balanced]\nrelevance_floor = 0\n[profiles.balanced.segments.hr]\ncontext_tokens = 12\n"
    )
    (tmp_path / "ragopt.toml").write_text('[[collections]]\nname = "people"\nsegment = "hr"\n')
    files = {"RAGOPT_CONFIG": str(tmp_path / "ragopt.toml"), "RAGOPT_KNOBS_FILE": str(tmp_path / "knobs.toml")}
    with environment(**files):
        tokens = [
            asyncio.run(measure(written_set(tmp_path / name), PromptJob(collection=name))).report.metrics
            for name in ("people", "others")
        ]
    assert tokens[0]["tokens.passages"].value < tokens[1]["tokens.passages"].value


def test_a_context_is_needed_down_to_its_last_cited_passage() -> None:
    """Passages that rank below every cited one are not needed; where none is cited, none is."""
    assert [asked(*cited).needed_tokens for cited in ((1,), (1, 2), (3,), ())] == [50, 100, 150, 0]


def test_a_smaller_budget_is_proposed_where_the_rest_is_never_cited() -> None:
    """The budget that keeps nearly all cited passages, and nothing where that is the present one."""
    (line,) = trimmed_budget([asked(1)] * 20, usd=0.002)
    assert line.startswith("context_tokens = 50 instead of 800: saves 100 tokens a question")
    assert "0 of 20" in line
    assert trimmed_budget([asked()], usd=0.002) == []


def test_a_line_is_left_out_alone() -> None:
    """Nothing else of the prompt changes."""
    prompt = asked(instructions="Be formal.\n\nUse metres.").prepared.prompt
    assert stable_lines(prompt)[-2:] == ["Be formal.", "Use metres."]
    shorter = without(prompt, "Use metres.")
    assert "Use metres." not in shorter.system
    assert shorter.segments[2:] == prompt.segments[2:]
    assert without(prompt, "") == prompt


def test_lines_without_influence_are_found_with_a_model() -> None:
    """A model that says the same without any line gives every line no influence; only the application's may go."""
    row = asked(1, instructions="Be formal.")
    with serve_in_thread() as stub:
        model = deployment_of(ModelSettings(name="m", provider="openai", base_url=stub.openai_url))
        changed = asyncio.run(audited_lines(row, model))
    assert set(changed) == {"", *stable_lines(row.prepared.prompt)}
    assert {value.value for value in changed.values()} == {0.0}
    (line,) = silent_lines(changed, row.prepared.prompt)
    assert line.startswith('Leave out "Be formal."')
    assert silent_lines({**changed, "Be formal.": exact(0.5)}, row.prepared.prompt) == []


async def audited_lines(row: Audited, model: Deployment) -> dict[str, Interval]:
    """Return what leaving out each line changes, and close the model."""
    try:
        return await without_lines([row], model)
    finally:
        await model.provider.close()


def test_an_unknown_model_is_named() -> None:
    """A model that is not configured cannot answer."""
    with pytest.raises(ConfigurationError, match="strong: no such model"):
        model_named("strong", Settings())
    assert model_named("extractive", Settings()).provider.name == "extractive"
