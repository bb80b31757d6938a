"""What the service keeps of a conversation: GET and DELETE /conversations/{id}, for its own tenant alone."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from ragopt.api.running import running
from ragopt.api.schemas import ConversationOut, ProblemOut
from ragopt.api.security import BEARER, KeyedRoute, QueryCaller
from ragopt.errors import NotFound
from ragopt.state.conversations import UNKNOWN

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["questions"], responses={"4XX": {"model": ProblemOut}}
)


@router.get("/conversations/{conversation_id:path}", responses={200: {"model": ConversationOut}})
async def conversation(request: Request, conversation_id: str, caller: QueryCaller) -> Response:
    """Return the newest turns of a conversation, at most 1,000, and the summary that stands for the oldest."""
    kept = await running(request).service.conversations.load(caller.tenant, conversation_id)
    if not kept.turns or not caller.reader.covers(kept.reader):
        raise NotFound(UNKNOWN)
    summary = kept.summary
    return JSONResponse(
        {
            "conversation_id": conversation_id,
            "turns": [{"role": turn.role, "content": turn.content} for turn in kept.turns],
            "older_turns": kept.older,
            "summary": summary
            and {
                "blocks": list(summary.blocks),
                "turns": summary.folded + kept.older,
                "version": summary.version,
            },
        }
    )


@router.delete("/conversations/{conversation_id:path}", status_code=204)
async def delete(request: Request, conversation_id: str, caller: QueryCaller) -> Response:
    """Forget a conversation, its turns and its summary."""
    conversations = running(request).service.conversations
    kept = await conversations.load(caller.tenant, conversation_id)
    if not caller.reader.covers(kept.reader) or not await conversations.delete(caller.tenant, conversation_id):
        raise NotFound(UNKNOWN)
    return Response(status_code=204)
