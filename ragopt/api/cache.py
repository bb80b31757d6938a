"""The answer cache: GET /cache shows what a collection has taught of its questions, DELETE /cache empties it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from ragopt.api.fields import CollectionName
from ragopt.api.rendering import Json
from ragopt.api.running import running
from ragopt.api.schemas import CacheCleared, ProblemOut, Wire
from ragopt.api.security import BEARER, IngestCaller, KeyedRoute
from ragopt.stages.cache.acceptance import Acceptance

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["questions"], responses={"4XX": {"model": ProblemOut}}
)

OfCollection = Annotated[CollectionName | None, Query(description="the collection; left out: every one of the tenant")]


class WrongOut(Wire):
    """Of what is above a level, the share that is wrong: as seen on its labels, and the exact 95 % limits."""

    value: float
    low: float
    high: float


class LevelOut(Wire):
    """From which score on other words are served under a bound; nulls where the labels show no such level."""

    max_wrong: Annotated[float, Field(description="the bound: the operator's first, then those a request may ask for")]
    level: float | None
    labels: Annotated[int, Field(description="labels above the level")]
    wrong: WrongOut | None


class CacheLearned(Wire):
    """What a collection has taught of its questions. semantic: whether other words may be served at all."""

    collection: str
    semantic: bool
    labels: Annotated[int, Field(description="labelled pairs of questions, of shadow checks and feedback")]
    levels: list[LevelOut]


@router.get("/cache", responses={200: {"model": CacheLearned}})
async def learned(request: Request, caller: IngestCaller, collection: CollectionName = "default") -> Response:
    """Return from which score on a collection serves answers to other words, and how many of those are wrong."""
    known = await running(request).service.cache.learned(caller.tenant, collection)
    found = {"labels": known.labels, "levels": levels_out(known.levels)} if known else {"labels": 0, "levels": []}
    return JSONResponse({"collection": collection, "semantic": known is not None, **found})


@router.delete("/cache", responses={200: {"model": CacheCleared}})
async def clear(request: Request, caller: IngestCaller, collection: OfCollection = None) -> Response:
    """Forget every kept answer of the tenant, or of one of its collections."""
    return JSONResponse({"deleted": await running(request).service.cache.clear(caller.tenant, collection)})


def levels_out(levels: Mapping[float, Acceptance | None]) -> list[Json]:
    """Return the levels as JSON, the operator's bound first."""
    return [
        {
            "max_wrong": round(bound, 6),
            "level": level and level.level,
            "labels": level.labels if level else 0,
            "wrong": {"value": level.wrong.value, "low": level.wrong.low, "high": level.wrong.high} if level else None,
        }
        for bound, level in levels.items()
    ]
