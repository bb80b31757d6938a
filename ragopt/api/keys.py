"""GET /keys and POST /keys/{id}/rotate: the keys of the caller's tenant, and a new secret for one of them."""

from __future__ import annotations

import time
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from ragopt.api.rendering import Json
from ragopt.api.request_log import trace_of
from ragopt.api.running import running
from ragopt.api.schemas import ProblemOut, Wire
from ragopt.api.security import BEARER, AdminCaller, KeyedRoute, actor_of
from ragopt.audit.events import AuditEvent
from ragopt.errors import MissingScope, NotFound
from ragopt.state.key_records import ApiKey, KeyRecord, reads_of
from ragopt.state.keys import DAY_S, MAX_OVERLAP_S

router = APIRouter(
    route_class=KeyedRoute, dependencies=[BEARER], tags=["keys"], responses={"4XX": {"model": ProblemOut}}
)


class SecretOut(Wire):
    """A live secret: when it was made, null where that is not known, and when it ends, null for never."""

    created_at: float | None
    ends_at: float | None


class KeyOut(Wire):
    """A key without its secret; times in Unix seconds. `reads`: its groups, or `all`. `secrets`: the newest first."""

    id: str
    name: str
    scopes: list[str]
    reads: list[str] | Literal["all"]
    created_at: float
    expires_at: float | None
    secrets: list[SecretOut]


class KeyList(Wire):
    """The keys of the tenant, oldest first."""

    keys: list[KeyOut]


class RotateRequest(Wire):
    """How long the old secret stays live, in seconds."""

    overlap_s: Annotated[float, Field(ge=0, le=MAX_OVERLAP_S, allow_inf_nan=False)] = float(DAY_S)


class KeyRotated(Wire):
    """The key with its new secret, which is not shown again, and when the old one ends, in Unix seconds."""

    id: str
    key: str
    tenant: str
    scopes: list[str]
    old_ends_at: float


@router.get("/keys", responses={200: {"model": KeyList}})
async def keys(request: Request, caller: AdminCaller) -> Response:
    """List the keys of the tenant with their live secrets' times; needs the scope `admin`."""
    found = await running(request).service.keys.records(caller.tenant)
    return JSONResponse({"keys": [key_json(record) for record in found]})


@router.post("/keys/{key_id}/rotate", responses={200: {"model": KeyRotated}})
async def rotate(request: Request, key_id: str, caller: AdminCaller, body: RotateRequest | None = None) -> Response:
    """Give a key of the tenant that can do no more than the caller's a new secret beside the old one; needs `admin`."""
    service = running(request).service
    records = await service.keys.records(caller.tenant)
    target = next((record.key for record in records if record.key.id == key_id), None)
    if target is None:
        raise NotFound(f"There is no key {key_id!r}.")
    refuse_more_powerful(target, caller)
    overlap_s = (body or RotateRequest()).overlap_s
    made = await service.keys.rotate(key_id, overlap_s=overlap_s)
    actor, request_id = actor_of(caller), trace_of(request).request_id
    service.audit.record(AuditEvent("key_rotated", actor, request_id, subject=key_id))
    told = {"id": key_id, "key": made.plain, "tenant": made.key.tenant, "scopes": sorted(made.key.scopes)}
    return JSONResponse({**told, "old_ends_at": made.old_ends_at}, headers={"Cache-Control": "no-store"})


def refuse_more_powerful(target: ApiKey, caller: ApiKey) -> None:
    """Raise `MissingScope` for a key that can do or read what the caller cannot: it would be handed its secret."""
    if not (target.scopes <= caller.scopes and caller.reader.covers(target.reader)):
        raise MissingScope(f"Key {target.id} has scopes or groups that this one has not: use `ragopt keys rotate`.")


def key_json(record: KeyRecord) -> Json:
    """Return one line of the list of keys."""
    key = record.key
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "reads": reads_of(key),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "secrets": record.secrets(time.time()),
    }
