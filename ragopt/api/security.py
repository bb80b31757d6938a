"""Who calls: the Bearer key of a request, checked before its body is read; the tenant comes from it alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated, Any, cast

from fastapi import Depends, Header, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from ragopt.api.request_log import trace_of
from ragopt.api.running import running
from ragopt.audit.events import Actor
from ragopt.errors import MissingKey, MissingScope
from ragopt.principals import ACT_AS, reader_of, separated
from ragopt.state.key_records import ApiKey

BEARER_SCHEME = HTTPBearer(auto_error=False, description="`Authorization: Bearer <key>`")
ACTING = "principals to act for, such as `user:ann, group:hr`: of the documents with a list, those of these and the key"


async def credentials(
    key: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER_SCHEME)] = None,
    act_as: Annotated[str | None, Header(alias=ACT_AS, description=ACTING)] = None,
) -> None:
    """Do nothing: this is for the OpenAPI page alone, the check itself is `KeyedRoute`'s."""


BEARER = Depends(credentials)


@dataclass(frozen=True, slots=True)
class KeyCheck:
    """A key check under way. `likely_tenant` is whose key it was when it last passed, None if it never did here."""

    caller: asyncio.Task[ApiKey]
    likely_tenant: str | None


class KeyedRoute(APIRoute):
    """A route whose key check begins before its body is read.

    A stranger waits for the verdict, so that nobody without a key makes the service parse anything.
    A key that passed before goes on while it is checked again, which lets a conversation load
    beside the check; no endpoint answers before `authorized` has returned.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler with the check around it."""
        handle = super().get_route_handler()

        async def keyed(request: Request) -> Response:
            async with key_check(request) as check:
                request.state.key_check = check
                if check.likely_tenant is None:
                    await check.caller
                return await handle(request)

        return keyed


@asynccontextmanager
async def key_check(request: Request) -> AsyncIterator[KeyCheck]:
    """Start the check of the request's key for the block, as the stage `auth`.

    Raises: `MissingKey`, `InvalidRequest`.
    """
    presented = bearer_key(request.headers.get("authorization", ""))
    shared, trace = running(request), trace_of(request)

    async def check() -> ApiKey:
        with trace.stage("auth"):
            caller = await shared.service.keys.authenticate(presented)
        shared.known_tenants.remember(presented, caller.tenant)
        caller = acting(caller, request.headers.getlist(ACT_AS))
        request.state.caller = caller
        return caller

    task = asyncio.create_task(check())
    try:
        yield KeyCheck(task, shared.known_tenants.guess(presented))
    finally:
        # The endpoint may have failed before it asked for the verdict; the task must not outlive the request.
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def acting(caller: ApiKey, headers: Sequence[str]) -> ApiKey:
    """Return the key as it acts for the principals of the headers; never for one that it does not stand for itself.

    Raises: `InvalidRequest`.
    """
    if not headers:
        return caller
    wanted = reader_of(separated(",".join(headers), field=ACT_AS), field=ACT_AS)
    return replace(caller, reader=caller.reader.narrowed(wanted.principals), acting_for=wanted.principals)


def actor_of(caller: ApiKey) -> Actor:
    """Return the caller as the audit log names it."""
    return Actor(caller.id, caller.tenant, caller.acting_for)


def bearer_key(header: str) -> str:
    """Return the key of an Authorization header. Raises: `MissingKey`."""
    scheme, _, key = header.strip().partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        raise MissingKey("Send the API key as `Authorization: Bearer <key>`.")
    return key.strip()


def likely_tenant(request: Request) -> str | None:
    """Return the tenant the caller probably is, before the check is through. Never answer on it."""
    return cast("KeyCheck", request.state.key_check).likely_tenant


async def authorized(request: Request, scope: str) -> ApiKey:
    """Return the caller's key once its check is through. Raises: `MissingKey`, `MissingScope`."""
    caller = await cast("KeyCheck", request.state.key_check).caller
    if scope not in caller.scopes:
        raise MissingScope(f"This needs a key with the scope {scope!r}.")
    return caller


async def with_query(request: Request) -> ApiKey:
    """Return the caller. Raises: `MissingKey`, `MissingScope` without `query`."""
    return await authorized(request, "query")


async def with_ingest(request: Request) -> ApiKey:
    """Return the caller. Raises: `MissingKey`, `MissingScope` without `ingest`."""
    return await authorized(request, "ingest")


async def with_admin(request: Request) -> ApiKey:
    """Return the caller. Raises: `MissingKey`, `MissingScope` without `admin`."""
    return await authorized(request, "admin")


QueryCaller = Annotated[ApiKey, Depends(with_query)]
IngestCaller = Annotated[ApiKey, Depends(with_ingest)]
AdminCaller = Annotated[ApiKey, Depends(with_admin)]
