"""The pipeline with its stages in place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from indexes.ingest import TextEncoder
from indexes.library import Library
from ragopt.audit.trail import Audit
from ragopt.config import Settings
from ragopt.harmful.detector import HarmfulDetector
from ragopt.injection.detector import InjectionDetector
from ragopt.money.edges import PriceEdges
from ragopt.money.prices import Prices
from ragopt.money.savings import SavingsCounter
from ragopt.pipeline import Pipeline
from ragopt.ports import AnswerCache
from ragopt.privacy.recognition import OWN, Recognisers
from ragopt.prompt import build_prompt
from ragopt.providers.call import ModelCaller
from ragopt.providers.deployment import Deployment, Plan
from ragopt.providers.prefixes import PrefixPlanner
from ragopt.providers.residency import Residency
from ragopt.providers.shortening import PromptShortener
from ragopt.settings.models import ModelSettings
from ragopt.stages.afford import GenerateWithinBudget
from ragopt.stages.cite.checker import CitationChecking
from ragopt.stages.cite.inspection import Inspections
from ragopt.stages.cite.judging import ClaimJudge
from ragopt.stages.generate import GenerateWithFallback
from ragopt.stages.history.stage import BudgetedHistory
from ragopt.stages.history.vectors import TurnVectors
from ragopt.stages.pack import Packer
from ragopt.stages.rerank.judging import CrossEncoderReranker, Judge
from ragopt.stages.rerank.late_interaction import rerank
from ragopt.stages.retrieve import HybridRetriever
from ragopt.stages.route.difficulty import shipped_difficulty
from ragopt.stages.route.gate import QualityGate
from ragopt.stages.route.plan import RoutePlanner
from ragopt.stages.screen.questions import Detectors, QuestionScreen
from ragopt.tokens import count_tokens
from ragopt.wiring.models import caller_over, deployment_of
from ragopt.wiring.rewriting import rewriter

BUILTIN_TIMEOUT_S = 30.0
QUOTED = "answering from the passages"


def pipeline_over(
    library: Library,
    embedder: TextEncoder,
    *,
    judge: Judge | None,
    settings: Settings,
    cache: AnswerCache,
    deployments: Sequence[Deployment],
    claims: ClaimJudge | None = None,
    prices: Prices | None = None,
    caller: ModelCaller | None = None,
    audit: Audit | None = None,
    recognisers: Recognisers = OWN,
) -> Pipeline:
    """Return the pipeline with its stages in place.

    prices: those of the meter, so that each unknown is told once. caller: None for one without a budget.
    claims: None for the judge that needs no model. audit: is told of questions that are refused; None where none is.
    recognisers: find personal data.
    """
    known, judging = prices or Prices(), claims or ClaimJudge.lexical()
    builtin, gate = builtin_deployment(), gate_over(judging, settings)
    harmful = HarmfulDetector.shipped(embedder)
    plan = planner_over(deployments, builtin, settings=settings, embedder=embedder.tag, gate=gate)
    calls = caller or caller_over(settings, prices=known, meter=None)
    answers = partial(
        GenerateWithFallback,
        caller=calls,
        max_output_tokens=settings.max_output_tokens,
        prefixes=PrefixPlanner(known),
        inspect=inspections_over(judging, settings, recognisers),
        shorten=PromptShortener(build_prompt, count_tokens),
    )
    return Pipeline(
        rewrite=rewriter(settings.rewrite, deployments=deployments, caller=calls),
        embed=embedder.encode_question,
        cache=cache,
        retrieve=HybridRetriever(library, embedder.encode_question),
        rerank=CrossEncoderReranker(judge, count_tokens=count_tokens) if judge else rerank,
        pack=Packer(count_tokens),
        history=BudgetedHistory(settings.history, TurnVectors(embedder.encode)),
        count_tokens=count_tokens,
        prompt=build_prompt,
        generate=GenerateWithinBudget(answers(plan), answers(lambda _: Plan((builtin,), QUOTED)), deployments),
        cite=CitationChecking(judging, settings.collections, settings.facts, harmful, recognisers),
        generation=library.generation,
        savings=SavingsCounter(settings.baseline, deployments, prices=known, document_tokens=library.document_tokens),
        keep_cheap=edges_over(deployments, known, settings),
        screen=screen_over(embedder, harmful, settings=settings, audit=audit),
    )


def edges_over(deployments: Sequence[Deployment], prices: Prices, settings: Settings) -> PriceEdges:
    """Return what keeps a prompt below the price edges of the models that may answer."""
    return PriceEdges(
        deployments,
        prices=prices,
        prompt=build_prompt,
        count_tokens=count_tokens,
        cheaper=any(budget.when_spent == "cheaper_tier" for budget in settings.budgets),
    )


def screen_over(
    embedder: TextEncoder, harmful: HarmfulDetector, *, settings: Settings, audit: Audit | None
) -> QuestionScreen:
    """Return what looks at questions first; `audit` is told of those that it refuses."""
    detectors = Detectors(InjectionDetector.shipped(embedder), harmful)
    return QuestionScreen(
        settings.collections, detectors, embedder.encode_question, refused=audit.record if audit else None
    )


def builtin_deployment() -> Deployment:
    """Return the model that quotes from the passages."""
    return deployment_of(ModelSettings(name="extractive", provider="extractive", timeout_s=BUILTIN_TIMEOUT_S))


def flagging_over(claims: ClaimJudge, settings: Settings) -> CitationChecking:
    """Return what judges drafts: it leaves nothing out, for what becomes of an unsupported claim is decided later."""
    return CitationChecking(claims, facts=settings.facts)


def gate_over(claims: ClaimJudge, settings: Settings) -> QualityGate:
    """Return what judges the answers of cheap models, by the same judgement as every answer."""
    return QualityGate(cite=flagging_over(claims, settings))


def inspections_over(claims: ClaimJudge, settings: Settings, recognisers: Recognisers = OWN) -> Inspections:
    """Return what finds what an answer has to pass before it is released, live and in batches."""
    return Inspections(flagging_over(claims, settings), settings.collections, recognisers)


def planner_over(
    deployments: Sequence[Deployment], builtin: Deployment, *, settings: Settings, embedder: str, gate: QualityGate
) -> RoutePlanner:
    """Return what chooses the models of an answer; `embedder` is the tag of the vectors that questions come with.

    gate: judges the answers of cheap models.
    """
    return RoutePlanner(
        deployments,
        builtin,
        settings=settings.routing,
        rules=settings.routes,
        difficulty=shipped_difficulty(),
        gate=gate,
        embedder=embedder,
        residency=Residency(settings.collections),
    )
