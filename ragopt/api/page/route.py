"""GET /: one HTML file with everything in it, under a policy that lets nothing else run."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Response
from fastapi.responses import HTMLResponse

router = APIRouter(tags=["page"])


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
async def page() -> Response:
    """Return the web page."""
    html, policy = page_and_policy()
    headers = {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return HTMLResponse(html, headers=headers)


@cache
def page_and_policy() -> tuple[str, str]:
    """Return the page and the Content-Security-Policy that names its one script and one style by hash."""
    html = files(__package__).joinpath("index.html").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {source_hash(html, 'script')}; style-src {source_hash(html, 'style')}; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def source_hash(html: str, tag: str) -> str:
    """Return the CSP source of the page's one inline element of this tag. Source: CSP Level 3, 2.3.1."""
    (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"
