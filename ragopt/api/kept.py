"""What is kept of a tenant's answers for export, forgotten on request: DELETE /answers and /answers/{id}."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ragopt.api.running import running
from ragopt.api.schemas import ProblemOut, Wire
from ragopt.api.security import BEARER, AdminCaller, KeyedRoute
from ragopt.errors import NotFound

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["questions"], responses={"4XX": {"model": ProblemOut}}
)


class AnswersForgotten(Wire):
    """How many answers were kept, and are no more."""

    deleted: int


@router.delete("/answers", responses={200: {"model": AnswersForgotten}})
async def forget_all(request: Request, caller: AdminCaller) -> Response:
    """Forget every answer of the tenant that is kept for export; needs the scope `admin`."""
    return JSONResponse({"deleted": await running(request).service.keeper.store.forget_all(caller.tenant)})


@router.delete("/answers/{answer_id}", status_code=204)
async def forget(request: Request, answer_id: str, caller: AdminCaller) -> Response:
    """Forget one answer that is kept for export; needs the scope `admin`."""
    if not await running(request).service.keeper.store.forget(caller.tenant, answer_id):
        raise NotFound("No such answer is kept.")
    return Response(status_code=204)
