"""The first halves of a batch's answers, and which call each of them needs: equal requests share one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import accumulate

from indexes.errors import IndexingError, StoreUnavailable
from ragopt.batches.desk import Desk, failed
from ragopt.batches.gathering import all_or_none
from ragopt.domain import Answer
from ragopt.errors import RagoptError, StateUnavailable
from ragopt.providers.deployment import Deployment, Plan, above
from ragopt.results import Prepared
from ragopt.state.batch_records import BatchItem, BatchResult, Half, Place, SharedCall
from ragopt.telemetry import Trace


async def prepare(desk: Desk, batch_id: str, numbers: Sequence[int]) -> None:
    """Retrieve and pack some requests; answers of the response cache are results at once.

    Raises: `StateUnavailable`, `StoreUnavailable`: then nothing of these is kept.
    """
    items = await desk.store.items(batch_id, numbers)
    firsts = await all_or_none((first_half(desk, item) for item in items), at_once=desk.rules.prepare_at_once)
    found = dict(zip(numbers, firsts, strict=True))
    results = {n: first for n, first in found.items() if isinstance(first, BatchResult)}
    if results:
        await desk.flush()
        await desk.store.record(batch_id, results)
    await desk.store.keep_halves(
        batch_id, {n: first for n, first in found.items() if not isinstance(first, BatchResult)}
    )


async def first_half(desk: Desk, item: BatchItem) -> tuple[Half, Place] | BatchResult:
    """Return the first half of one answer with its place, or its result. Raises: what another attempt may cure."""
    try:
        first = await desk.pipeline.first_half(item.question, trace=Trace(item.question.answer_id))
        if isinstance(first, Answer):
            desk.wrote(first, item.question)
            return BatchResult(item.custom_id, first, "cache")
        return Half(first.context, first.prompt, first.outcome, first.keeps, first.history), place_of(desk, first)
    except (StoreUnavailable, StateUnavailable):
        raise
    except (RagoptError, IndexingError) as error:
        return failed(item, error)


def place_of(desk: Desk, prepared: Prepared) -> Place:
    """Return which call is to be made for a request. Raises: `UnknownModel`, `ModelNotAllowed`."""
    if not prepared.context.passages:
        return Place(key_of(prepared, ()), (), "no passage was found", None)
    plan, inspection = desk.plan(prepared), desk.inspect(prepared)
    escalates = inspection is not None and inspection.escalates
    chain = tuple(deployment.name for deployment in escalation(plan, escalates=escalates))
    # What is asked live plans again, so that its route tells what really happened.
    batched = chain if chain[0] in desk.providers else ()
    return Place(key_of(prepared, chain), batched, plan.reason, plan.score, gated=plan.gate is not None)


def escalation(plan: Plan, *, escalates: bool = False) -> list[Deployment]:
    """Return the deployments that are asked one after the other, each of a higher tier than the one before.

    The first one alone where the plan has no gate and what an answer has to pass does not escalate either.
    """
    first, *others = plan.deployments
    climbed = accumulate(others, lambda last, item: item if above(item, last) else last, initial=first)
    return list(dict.fromkeys(climbed)) if plan.gate or escalates else [first]


def key_of(prepared: Prepared, chain: Sequence[str]) -> str:
    """Return 24 hex digits, equal for requests with the same prompt for the same models in the same form.

    Those of two collections are never equal: each has its own policies.
    """
    question = prepared.question
    form = [question.collection, question.max_output_tokens, question.tier_floor, question.tier_ceiling]
    deciding = [chain, form, asdict(prepared.prompt)]
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:24]


async def planned_calls(desk: Desk, batch_id: str) -> dict[str, SharedCall]:
    """Return the calls of a prepared batch by key; made of its places the first time."""
    calls = await desk.store.calls(batch_id)
    if calls:
        return calls
    grouped: dict[str, list[int]] = {}
    places = await desk.store.places(batch_id)
    for n, place in places.items():
        grouped.setdefault(place.key, []).append(n)
    for key, numbers in grouped.items():
        place = places[numbers[0]]
        calls[key] = SharedCall(
            key=key,
            items=tuple(numbers),
            chain=place.chain,
            reason=place.reason,
            score=place.score,
            state="waiting" if place.chain else "live",
            gated=place.gated,
        )
    # All in one step: a second process must not take half of them for the whole.
    await desk.store.keep_parts(batch_id, (), calls=list(calls.values()))
    return calls
