"""GET /: the web page, and its style and modules under `/page/`, with a policy that lets nothing else run."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

router = APIRouter(tags=["page"], include_in_schema=False)

MEDIA_TYPES: Mapping[str, str] = MappingProxyType(
    {"css": "text/css; charset=utf-8", "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8"}
)
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of the page; tag: changes with its bytes."""

    content: bytes
    media_type: str
    tag: str


@router.get("/")
async def page(request: Request) -> Response:
    """Return the web page."""
    return sent(request, "index.html")


@router.get("/page/{name}")
async def asset(request: Request, name: str) -> Response:
    """Return a style or a module of the page. Raises: `HTTPException` 404."""
    return sent(request, name)


def sent(request: Request, name: str) -> Response:
    """Return the file, or 304 where the browser has it already. Raises: `HTTPException` 404."""
    found = assets().get(name)
    if found is None:
        raise HTTPException(404, f"The page has no part {name!r}.")
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
        "ETag": found.tag,
    }
    if request.headers.get("if-none-match") == found.tag:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=found.media_type, headers=headers)


@cache
def assets() -> Mapping[str, Asset]:
    """Return the files of the page by name."""
    found = {item.name: item.read_bytes() for item in files(__package__).iterdir() if ending(item.name) in MEDIA_TYPES}
    return MappingProxyType(
        {
            name: Asset(content, MEDIA_TYPES[ending(name)], f'"{hashlib.sha256(content).hexdigest()[:32]}"')
            for name, content in found.items()
        }
    )


def ending(name: str) -> str:
    """Return what stands behind the last dot of a name."""
    return name.rpartition(".")[2]
