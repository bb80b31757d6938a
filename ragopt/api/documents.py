"""What is stored: GET /documents, GET, DELETE and release of one. Ids may hold slashes, percent-encoded or not."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from indexes.records import DocumentInfo
from ragopt.api.document_schemas import DocumentList, DocumentOut
from ragopt.api.fields import CollectionName
from ragopt.api.rendering import document_json, info_json
from ragopt.api.request_log import trace_of
from ragopt.api.running import running
from ragopt.api.schemas import ProblemOut
from ragopt.api.security import BEARER, AdminCaller, IngestCaller, KeyedRoute, QueryCaller, actor_of
from ragopt.audit.events import Act, AuditEvent, DocumentUse
from ragopt.state.key_records import ApiKey

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["documents"], responses={"4XX": {"model": ProblemOut}}
)

InCollection = Annotated[CollectionName, Query(description="the collection to look in")]
OnlyQuarantined = Annotated[
    bool | None, Query(description="true: only quarantined documents; false: only the others; left out: all")
]


@router.get("/documents", responses={200: {"model": DocumentList}})
async def documents(
    request: Request, caller: QueryCaller, collection: InCollection = "default", quarantined: OnlyQuarantined = None
) -> Response:
    """List the live documents of a collection that the key may read, ordered by id."""
    found = await running(request).service.library.documents(caller.tenant, collection, reader=caller.reader)
    wanted = [info for info in found if quarantined is None or info.quarantined == quarantined]
    return JSONResponse(
        {"collection": collection, "documents": [info_json(info, shown_list(info, caller)) for info in wanted]}
    )


@router.get("/documents/{document_id:path}", responses={200: {"model": DocumentOut}})
async def document(
    request: Request, document_id: str, caller: QueryCaller, collection: InCollection = "default"
) -> Response:
    """Return the live version of a document: its text as it was sent, and the spans of its chunks."""
    found = await running(request).service.library.document(
        caller.tenant, collection, document_id, reader=caller.reader
    )
    return JSONResponse(document_json(found, shown_list(found.info, caller)))


@router.delete("/documents/{document_id:path}", status_code=204)
async def delete(
    request: Request, document_id: str, caller: IngestCaller, collection: InCollection = "default"
) -> Response:
    """Make a document invisible to every later question."""
    await running(request).service.library.delete(caller.tenant, collection, document_id, reader=caller.reader)
    running(request).service.keeper.store.document_deleted(caller.tenant, collection, document_id)
    told(request, caller, "delete", where=(collection, document_id))
    return Response(status_code=204)


@router.post("/documents/{document_id:path}/release", status_code=204)
async def release(
    request: Request, document_id: str, caller: AdminCaller, collection: InCollection = "default"
) -> Response:
    """Let questions find a quarantined document; nothing changes for one that is not quarantined."""
    await running(request).service.library.release(caller.tenant, collection, document_id, reader=caller.reader)
    told(request, caller, "release", where=(collection, document_id))
    return Response(status_code=204)


def shown_list(info: DocumentInfo, caller: ApiKey) -> list[str] | None:
    """Return a document's list as the caller may see it: all of it with the scope `ingest`, else its own principals."""
    if info.access is None:
        return None
    whole = "ingest" in caller.scopes
    return sorted(info.access if whole else caller.reader.narrowed(info.access).principals)


def told(request: Request, caller: ApiKey, act: Act, *, where: tuple[str, str]) -> None:
    """Tell the audit log what was done to a document; where: its collection and its id."""
    collection, document_id = where
    actor, documents = actor_of(caller), (DocumentUse(document_id),)
    event = AuditEvent(act, actor, trace_of(request).request_id, collection, documents=documents)
    running(request).service.audit.record(event)
