"""What a tenant says of its answers: POST /feedback."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ragopt.api.request_log import trace_of
from ragopt.api.running import running
from ragopt.api.schemas import FeedbackOut, FeedbackRequest, ProblemOut
from ragopt.api.security import BEARER, KeyedRoute, QueryCaller
from ragopt.money.ledger import RatingRow
from ragopt.state.feedback import Rating

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["questions"], responses={"4XX": {"model": ProblemOut}}
)


@router.post("/feedback", responses={200: {"model": FeedbackOut}})
async def feedback(request: Request, body: FeedbackRequest, caller: QueryCaller) -> Response:
    """Rate an answer of the last seven days; one that is rated down is never served from the cache again."""
    service = running(request).service
    rating: Rating = "up" if body.rating in ("up", 1) else "down"
    trace_of(request).note(rating=rating)
    given = await service.feedback.rate(caller.tenant, body.answer_id, rating=rating, comment=body.comment)
    if rating == "down":
        await service.cache.disliked(caller.tenant, given.collection, given.entry, score=given.score)
    service.accounts.ledger.rated(RatingRow(body.answer_id, time.time(), caller.tenant, rating == "up"))
    service.keeper.rated(caller.tenant, body.answer_id, liked=rating == "up")
    await service.experiments.rated(body.answer_id, liked=rating == "up")
    return JSONResponse({"answer_id": body.answer_id, "rating": rating})
