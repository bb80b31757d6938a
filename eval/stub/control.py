"""The endpoints that steer the stub and tell what it saw; no provider has them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict

from fastapi import FastAPI, HTTPException, Request

from eval.stub.asking import Json
from eval.stub.faults import FAULTS
from eval.stub.state import SeenCall, Step, StubState

STEP_FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "fault": str,
    "answer": str,
    "delay_ms": (int, float),
    "dialect": str,
    "model": str,
}


def add_control(app: FastAPI, state: StubState) -> None:
    """Add the endpoints under `/_stub`, and `/stub/calls`, the older name of the log."""
    add_log(app, state)
    add_plan(app, state)


def add_log(app: FastAPI, state: StubState) -> None:
    """Add the endpoints that tell what was asked."""

    @app.get("/_stub/requests")
    async def requests() -> Json:
        return log_of(state)

    @app.delete("/_stub/requests")
    async def forget_requests() -> Json:
        return forgotten(state)

    @app.get("/stub/calls")
    async def calls() -> Json:
        return {"calls": [row_of(call) for call in state.calls]}

    @app.delete("/stub/calls")
    async def forget_calls() -> Json:
        forgotten(state)
        return {"calls": []}


def add_plan(app: FastAPI, state: StubState) -> None:
    """Add the endpoints that say what comes next: planned steps, time that passes, caches that are emptied."""

    @app.get("/_stub/plan")
    async def plan() -> Json:
        return {"steps": [asdict(step) for step in state.steps]}

    @app.post("/_stub/plan")
    async def add_to_plan(request: Request) -> Json:
        state.steps += steps_in(await request.json())
        return {"steps": [asdict(step) for step in state.steps]}

    @app.delete("/_stub/plan")
    async def forget_plan() -> Json:
        state.steps.clear()
        return {"steps": []}

    @app.get("/_stub/clock")
    async def clock() -> Json:
        return {"now_s": state.now(), "advanced_s": state.advanced_s}

    @app.post("/_stub/clock")
    async def advance(request: Request) -> Json:
        state.advanced_s += seconds_in(await request.json())
        return {"now_s": state.now(), "advanced_s": state.advanced_s}

    @app.delete("/_stub/cache")
    async def forget_cache() -> Json:
        state.cache.entries.clear()
        return {"entries": 0}


def log_of(state: StubState) -> Json:
    """Return every request that is remembered, oldest first, and how many there are and were at a time."""
    rows = [row_of(call) for call in state.calls]
    return {"requests": rows, "total": state.total, "open": state.open, "most_open": state.most_open}


def forgotten(state: StubState) -> Json:
    """Forget the log and start counting again; requests still open go on counting."""
    state.calls.clear()
    state.total = 0
    state.most_open = state.open
    return log_of(state)


def row_of(call: SeenCall) -> Json:
    """Return a call as the log shows it."""
    return {**asdict(call), "authorized": call.authorized}


def steps_in(body: object) -> list[Step]:
    """Return the planned steps: faults by name, or objects with a `fault` and more. Raises: `HTTPException`."""
    listed = body.get("steps") if isinstance(body, Mapping) else body
    if not isinstance(listed, list):
        raise HTTPException(422, 'a list of steps is required: ["429", {"fault": "ok", "answer": "Yes."}]')
    return [step_of({"fault": item} if isinstance(item, str) else item) for item in listed]


def step_of(item: object) -> Step:
    """Return one step. Raises: `HTTPException` naming the field that is wrong."""
    if not isinstance(item, Mapping):
        raise HTTPException(422, "a step is the name of a fault or an object")
    for name, value in item.items():
        if name not in STEP_FIELDS or not isinstance(value, STEP_FIELDS[name]):
            raise HTTPException(422, f"{name}: no field of a step, or not of its type")
    if item.get("fault", "ok") not in FAULTS:
        raise HTTPException(422, f"fault: {item['fault']!r} is none; known are {', '.join(FAULTS)}")
    return Step(**item)


def seconds_in(body: object) -> float:
    """Return by how many seconds to advance the clock. Raises: `HTTPException` for anything but a positive number."""
    value = body.get("advance_s") if isinstance(body, Mapping) else None
    if not isinstance(value, int | float) or value < 0:
        raise HTTPException(422, "advance_s: a number of seconds, not negative, is required")
    return float(value)
