"""OpenAI's batches: an uploaded file of lines in, a batch object to poll, an output and an error file out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.stub.asking import BadRequestError, Json
from eval.stub.batches import EXPIRES_S, Batch, Item, Phase, Result, settled
from eval.stub.faults import without_fault
from eval.stub.openai_dialect import OpenAIDialect
from eval.stub.state import StubState

ENDPOINT = "/v1/chat/completions"
STATUSES: Mapping[Phase, str] = {
    "validating": "validating",
    "failed": "failed",
    "running": "in_progress",
    "finalizing": "finalizing",
    "ended": "completed",
    "expired": "expired",
    "canceling": "cancelling",
    "canceled": "cancelled",
}
DIALECT = OpenAIDialect()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was uploaded or written."""

    id: str
    name: str
    purpose: str
    data: bytes
    created_at: float

    def shown(self) -> Json:
        """Return the file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": len(self.data),
            "created_at": int(self.created_at),
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
        }


def items_in(data: bytes, *, limit: int) -> tuple[list[Item], list[Json]]:
    """Return the requests of a batch file, and what is wrong with it: then the batch fails as a whole."""
    items: list[Item] = []
    errors: list[Json] = []
    lines = [line for line in data.splitlines() if line.strip()]
    if not lines:
        errors.append(problem("empty_file", "The batch file holds no request.", line=None))
    if len(lines) > limit:
        errors.append(problem("too_many_tasks", f"{len(lines)} requests, at most {limit}.", line=None))
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        try:
            item = item_of(line)
        except BadRequestError as error:
            errors.append(problem(error.code or "invalid_request", str(error), line=number))
            continue
        if item.custom_id in seen:
            errors.append(problem("duplicate_custom_id", f"{item.custom_id!r} was used before.", line=number))
        seen.add(item.custom_id)
        items.append(item)
    if len({model_name(item.ask.model) for item in items if item.ask}) > 1:
        errors.append(problem("mismatched_model", "All requests of a batch must name one model.", line=None))
    return items, errors


def model_name(model: str) -> str:
    """Return a model without its fault, so that one batch can hold requests that fail in several ways."""
    return "stub" if model.startswith("stub-") else without_fault(model)


def item_of(line: bytes) -> Item:
    """Return one request. Raises: `BadRequestError` with the code of a line that no batch can hold."""
    try:
        row: object = json.loads(line)
    except ValueError as error:
        raise BadRequestError("The line is not JSON.", code="invalid_json_line") from error
    if not isinstance(row, dict) or not isinstance(row.get("custom_id"), str):
        raise BadRequestError("custom_id: a string is required.", code="missing_required_parameter")
    if row.get("method") != "POST":
        raise BadRequestError("method: POST is required.", code="invalid_method")
    if row.get("url") != ENDPOINT:
        raise BadRequestError("url: the endpoint of the batch is required.", code="invalid_url")
    body = row.get("body")
    if not isinstance(body, dict):
        raise BadRequestError("body: an object is required.", code="missing_required_parameter")
    try:
        return Item(row["custom_id"], DIALECT.ask({**body, "stream": False}, version=""))
    except BadRequestError as error:
        return Item(row["custom_id"], None, error)


def problem(code: str, message: str, *, line: int | None) -> Json:
    """Return one entry of a batch's `errors`."""
    return {"code": code, "line": line, "message": message, "param": None}


def shown_batch(batch: Batch, state: StubState, files: dict[str, StoredFile]) -> Json:
    """Return the batch object; writes its files once it is over."""
    now = state.now()
    phase = batch.phase(now)
    results = settled(batch, state)
    counts = counts_of(batch, results, now=now)
    output, errors = written_files(batch, results, files=files, now=now) if results is not None else (None, None)
    return {
        **batch.shown,
        "id": batch.id,
        "object": "batch",
        "endpoint": ENDPOINT,
        "completion_window": "24h",
        "status": STATUSES[phase],
        "created_at": int(batch.created_at),
        "expires_at": int(batch.created_at + EXPIRES_S),
        "errors": {"object": "list", "data": list(batch.errors)} if phase == "failed" else None,
        "output_file_id": output,
        "error_file_id": errors,
        "request_counts": counts,
    }


def counts_of(batch: Batch, results: Sequence[Result] | None, *, now: float) -> Json:
    """Return how many requests there are, and how many have succeeded and failed so far."""
    if results is None:
        total = 0 if batch.phase(now) in ("validating", "failed") else len(batch.items)
        return {"total": total, "completed": min(total, batch.finished(now)), "failed": 0}
    completed = sum(result.succeeded for result in results)
    return {"total": len(results), "completed": completed, "failed": len(results) - completed}


def written_files(
    batch: Batch, results: Sequence[Result], *, files: dict[str, StoredFile], now: float
) -> tuple[str | None, str | None]:
    """Return the ids of output and error file, None for one that would be empty; writes them once."""
    ids = []
    for kind, wanted in (("output", True), ("error", False)):
        lines = [json.dumps(line_of(result), ensure_ascii=False) for result in results if result.succeeded is wanted]
        name = f"file-{batch.id}-{kind}"
        if lines and name not in files:
            data = "\n".join([*lines, ""]).encode()
            files[name] = StoredFile(name, f"{batch.id}_{kind}.jsonl", "batch_output", data, now)
        ids.append(name if lines else None)
    return ids[0], ids[1]


def line_of(result: Result) -> Json:
    """Return one line of an output or error file."""
    head = {"id": f"batch_req_{result.n}", "custom_id": result.custom_id}
    outcome = result.outcome
    if outcome is None:
        message = f"This request was not executed: the batch was {result.ending}."
        code = "batch_expired" if result.ending == "expired" else "batch_cancelled"
        return {**head, "response": None, "error": {"code": code, "message": message}}
    body = DIALECT.whole(outcome.reply) if outcome.reply else outcome.body
    answer = {"status_code": outcome.status, "request_id": f"req_stub_{result.n}", "body": body}
    return {**head, "response": answer, "error": None}
