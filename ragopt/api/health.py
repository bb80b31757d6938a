"""GET /healthz: the process lives. GET /readyz: it can answer. Both without a key."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ragopt.api.running import running
from ragopt.api.schemas import Readiness

State = Literal["ok", "degraded", "down", "draining"]

router = APIRouter(tags=["health"])


@router.get("/healthz")
async def healthz(request: Request) -> Response:
    """Say that the process lives, and how late its event loop was at most in the last seconds; nothing is asked."""
    return JSONResponse({"status": "ok", "loop_lag_ms": round(1000 * running(request).lag.worst_s, 1)})


@router.get("/readyz", responses={200: {"model": Readiness}, 503: {"model": Readiness}})
async def readyz(request: Request) -> Response:
    """Say whether questions can be answered: 200 while Redis alone is down, 503 without index or embedder."""
    shared = running(request)
    checks = await shared.service.readiness()
    state = "draining" if shared.lifetime.draining else readiness(checks)
    status = HTTPStatus.OK if state in ("ok", "degraded") else HTTPStatus.SERVICE_UNAVAILABLE
    return JSONResponse({"status": state, "checks": checks}, status)


def readiness(checks: Mapping[str, str]) -> State:
    """Return the one word for the state of every dependency."""
    failed = {name for name, state in checks.items() if state != "ok"}
    if not failed:
        return "ok"
    return "degraded" if failed == {"redis"} else "down"
