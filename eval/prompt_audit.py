"""`python -m eval prompt`: what the parts of a prompt cost, which of them influence answers, and what to trim.

Every question of a set is asked through the serving path. Per part of the prompt: its tokens a question, and what a
thousand questions pay for it. Of the passages: how many are cited, and how many tokens a context needs up to its
lowest-ranked cited passage. With a configured model, each line of the rules and of the application's text is left out
in turn: a line whose absence changes no more answers than asking twice does has shown no influence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Literal

import numpy as np
from tqdm import tqdm

from eval.configuration import Overrides
from eval.corpus import TENANT, Corpus, ingested
from eval.datasets import read_dataset
from eval.errors import ConfigurationError, DatasetError, EvaluationError
from eval.intervals import Interval, bootstrap, exact, percentile_of
from eval.prefix.replay import target_of
from eval.report import ConfigValue, Report
from ragopt.config import Settings
from ragopt.domain import Answer, Context, Question, Usage
from ragopt.form import in_paragraphs
from ragopt.money.prices import Prices, priced
from ragopt.pipeline import ABSTENTION
from ragopt.providers.deployment import Deployment
from ragopt.providers.layout import STABLE, Part, Prompt
from ragopt.providers.protocol import CompletionRequest, TextDelta
from ragopt.results import Prepared
from ragopt.settings.collections import told_of
from ragopt.settings.models import ModelSettings
from ragopt.telemetry import Trace
from ragopt.tokens import count_tokens
from ragopt.wiring.models import deployment_of

PARTS: tuple[Part, ...] = ("rules", "application", "examples", "summary", "history", "recalled", "passages", "question")
EXTRACTIVE: Literal["extractive"] = "extractive"
PRICED_AS = ("openai", "gpt-6.1-sol")
QUESTIONS_WITHOUT_A_LINE = 20
# A budget that keeps every cited passage of all but one question in twenty.
KEPT_PERCENT = 95.0
BUDGET_STEP = 50
WORTH_SAYING = 0.9


@dataclass(frozen=True, slots=True)
class PromptJob:
    """What to audit: `limit` questions, None for all; the model that answers, and the application's text.

    collection: whose instructions, examples and segment of `[[collections]]` shape each prompt; "": those of every one.
    """

    limit: int | None = None
    seed: int = 0
    overrides: Overrides = field(default_factory=dict)
    model: str = EXTRACTIVE
    instructions: str = ""
    collection: str = ""


@dataclass(frozen=True, slots=True)
class Audited:
    """One question: tokens by part, and of its passages how many tokens in all, cited, and down to the last cited."""

    prepared: Prepared
    tokens: Mapping[Part, int]
    cited: frozenset[int]

    @property
    def needed_tokens(self) -> int:
        """Return the tokens of the passages down to the lowest-ranked cited one; 0 where none is cited."""
        ranked = sorted(self.prepared.context.passages, key=lambda passage: -passage.score)
        last = max((at for at, passage in enumerate(ranked, 1) if passage.n in self.cited), default=0)
        return sum(passage.tokens for passage in ranked[:last])


@dataclass(frozen=True, slots=True)
class Audit:
    """The report, and what to trim, a sentence each."""

    report: Report
    proposals: tuple[str, ...]


async def measure(folder: Path, job: PromptJob) -> Audit:
    """Return the audit of one folder. Raises: `DatasetError`, `ConfigurationError`, `EvaluationError`."""
    dataset = read_dataset(folder)
    queries = dataset.queries[: job.limit]
    if not queries:
        raise DatasetError(f"{folder}: no question")
    async with ingested(dataset, overrides=job.overrides) as corpus:
        model = model_named(job.model, corpus.settings)
        collection = job.collection or dataset.name
        told = told_of(corpus.settings.collections, tenant=TENANT, collection=collection)
        knobs = corpus.settings.knobs_of(tenant=TENANT, collection=collection)
        instructions = in_paragraphs(told.instructions, job.instructions)
        rows = []
        for query in tqdm(queries, desc=f"ask {dataset.name}"):
            question = Question(query.text, TENANT, dataset.name, cache="off", knobs=knobs)
            question = replace(question, instructions=instructions, examples=told.examples)
            rows.append(await audited(corpus, question, model=model))
        silent = {} if job.model == EXTRACTIVE else await without_lines(rows, model)
    await model.provider.close()
    return audit_of(dataset.name, rows, silent=silent, model=model, job=job)


def model_named(name: str, settings: Settings) -> Deployment:
    """Return the configured model of that name, the built-in one for `extractive`. Raises: `ConfigurationError`."""
    if name == EXTRACTIVE:
        return deployment_of(ModelSettings(name=EXTRACTIVE, provider=EXTRACTIVE))
    found = [item for item in settings.models if item.name == name]
    if not found:
        raise ConfigurationError(f"{name}: no such model in ragopt.toml")
    return deployment_of(found[0])


async def audited(corpus: Corpus, question: Question, *, model: Deployment) -> Audited:
    """Return what one question sends, and which passages its answer cites. Raises: `EvaluationError`."""
    prepared = await corpus.pipeline.first_half(question, trace=Trace("audit"))
    if isinstance(prepared, Answer):
        raise EvaluationError("an answer came from a cache that is off")
    text = await written(prepared.prompt, prepared.context, model=model) if prepared.context.passages else ABSTENTION
    checker = corpus.pipeline.cite(prepared, trace=Trace("audit"))
    await checker.feed(text)
    _, cited = await checker.finish()
    tokens = {part: count_tokens(prepared.prompt.text_of(part)) for part in PARTS}
    return Audited(prepared, tokens, frozenset(citation.n for citation in cited.citations))


async def written(prompt: Prompt, context: Context, *, model: Deployment) -> str:
    """Return what the model answers. Raises: `ProviderError`."""
    request = CompletionRequest(
        model.model,
        prompt,
        context,
        max_output_tokens=1_024,
        timeout_s=model.timeout_s,
        capabilities=model.capabilities,
        effort=model.effort,
    )
    events = [event async for event in model.provider.stream(request)]
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def without_lines(rows: Sequence[Audited], model: Deployment) -> dict[str, Interval]:
    """Return for each line of the rules, and for none at all, the share of answers that change without it."""
    asked = [row.prepared for row in rows if row.prepared.context.passages][:QUESTIONS_WITHOUT_A_LINE]
    if not asked:
        return {}
    plain = [await written(item.prompt, item.context, model=model) for item in asked]
    changed: dict[str, Interval] = {}
    for line in ["", *stable_lines(asked[0].prompt)]:
        shorter = [without(item.prompt, line) for item in asked]
        now = [await written(prompt, item.context, model=model) for prompt, item in zip(shorter, asked, strict=True)]
        differs = [float(before.split() != after.split()) for before, after in zip(plain, now, strict=True)]
        changed[line] = bootstrap(differs, seed=0)
    return changed


def stable_lines(prompt: Prompt) -> list[str]:
    """Return the lines of the rules and of the application's text, in order, blank ones left out."""
    texts = (segment.text for segment in prompt.segments if segment.part in STABLE)
    return [line for text in texts for line in text.split("\n") if line.strip()]


def without(prompt: Prompt, line: str) -> Prompt:
    """Return the prompt without a line of its stable part; the same one for ""."""
    if not line:
        return prompt
    kept = (
        replace(segment, text="\n".join(other for other in segment.text.split("\n") if other != line))
        if segment.part in STABLE
        else segment
        for segment in prompt.segments
    )
    return Prompt(tuple(kept), prompt.version)


def audit_of(
    name: str, rows: Sequence[Audited], *, silent: Mapping[str, Interval], model: Deployment, job: PromptJob
) -> Audit:
    """Return the report of all questions, and what to trim."""
    payer = target_of(*PRICED_AS) if job.model == EXTRACTIVE else model
    cost = Prices().cost(priced(payer), Usage(input_tokens=1_000)) or Decimal(0)
    metrics: dict[str, Interval] = {}
    for part in PARTS:
        tokens = [float(row.tokens[part]) for row in rows]
        if any(tokens):
            metrics[f"tokens.{part}"] = bootstrap(tokens, seed=job.seed)
            metrics[f"usd_per_1000.{part}"] = exact(float(np.mean(tokens)) * float(cost))
    metrics |= passage_metrics(rows, seed=job.seed)
    metrics |= {f"changed.line{at}": value for at, value in enumerate(silent.values())}
    config: dict[str, ConfigValue] = {
        "model": job.model,
        "priced_as": payer.model,
        "context_tokens": rows[0].prepared.context.token_budget,
    }
    proposals = (*trimmed_budget(rows, usd=float(cost)), *silent_lines(silent, rows[0].prepared.prompt))
    report = Report("prompt", name, len(rows), job.seed, {**config, "trim": " ".join(proposals)}, metrics)
    return Audit(report, proposals)


def passage_metrics(rows: Sequence[Audited], *, seed: int) -> dict[str, Interval]:
    """Return how many of the passages are cited, and how many tokens down to the lowest-ranked cited one."""
    found = [row for row in rows if row.prepared.context.passages]
    if not found:
        return {}
    shares = [len(row.cited) / len(row.prepared.context.passages) for row in found]
    needed = [float(row.needed_tokens) for row in found]
    return {
        "passages_cited": bootstrap(shares, seed=seed),
        "context_needed.p50": bootstrap(needed, seed=seed, statistic=percentile_of(50)),
        "context_needed.p95": bootstrap(needed, seed=seed, statistic=percentile_of(KEPT_PERCENT)),
    }


def trimmed_budget(rows: Sequence[Audited], *, usd: float) -> list[str]:
    """Return the budget that nearly all cited passages fit, and what it saves; [] where the present one is close."""
    cited = [row for row in rows if row.cited]
    if not cited:
        return []
    needed = float(np.percentile([row.needed_tokens for row in cited], KEPT_PERCENT))
    budget = BUDGET_STEP * math.ceil(needed / BUDGET_STEP)
    present = rows[0].prepared.context.token_budget
    if budget > WORTH_SAYING * present:
        return []
    saved = float(np.mean([max(0, row.prepared.context.tokens - budget) for row in rows]))
    lost = sum(row.needed_tokens > budget for row in cited)
    return [
        f"context_tokens = {budget} instead of {present}: saves {saved:.0f} tokens a question, {saved * usd:.4f} USD a "
        f"thousand; {lost} of {len(cited)} cited answers would lose a passage."
    ]


def silent_lines(changed: Mapping[str, Interval], prompt: Prompt) -> list[str]:
    """Return the application's lines that changed no more answers than asking twice did. Our own rules stay.

    They guard what a set of harmless questions does not show.
    """
    application = prompt.text_of("application").split("\n")[1:]
    twice = changed[""].value if changed else 0.0
    return [
        f'Leave out "{line}": {count_tokens(line)} tokens a call, and no answer of {QUESTIONS_WITHOUT_A_LINE} changed '
        "more than by chance."
        for line in application
        if line in changed and changed[line].value <= twice
    ]
