"""What the stub can do wrong, and how a request asks for it."""

from __future__ import annotations

import re
from collections.abc import Mapping

STATUSES = (400, 401, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529)
FAULTS: Mapping[str, str] = {
    "ok": "the whole answer",
    **{str(status): f"HTTP {status} in the dialect's own words" for status in STATUSES},
    "quota429": "HTTP 429 that no waiting cures: the quota is spent",
    "hang": "accepts the request and never answers",
    "stall": "half of the answer, then silence",
    "drip": "an answer that never ends, a word at a time",
    "cut": "half of the answer, then a clean end without the terminal event",
    "cut_early": "a clean end before the first word",
    "reset": "half of the answer, then the connection breaks",
    "sse_error": "an error event instead of the answer, with HTTP 200",
    "bad_json": "an event that is not JSON",
    "html200": "HTTP 200 with an HTML page, as from a captive portal",
    "no_usage": "the whole answer without a usage report",
    "empty": "a complete answer without a word",
}
HEADER = "x-stub-fault"
IN_MODEL_NAME = re.compile(r"(?:^stub-|[/:-]fault=)(?P<fault>[a-z0-9_]+)$")


def chosen_fault(model: str, header: str | None, default: str) -> str:
    """Return the fault: the header's, else the one the model name ends in, else `default`; unknown ones are ignored."""
    named = IN_MODEL_NAME.search(model)
    for wanted in (header, named and named["fault"]):
        if wanted in FAULTS:
            return str(wanted)
    return default
