"""`ragopt batch`: questions that can wait, from a file to a file, through a running service at half the price."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from indexes.errors import StoreLocked
from ragopt.cli.arguments import add_collection, add_json, add_place
from ragopt.cli.remote import Remote, Unreachable, service_at, service_of
from ragopt.cli.terminal import complain, say, say_json
from ragopt.config import Settings, load_settings
from ragopt.errors import InvalidRequest

EXAMPLE = "ragopt batch questions.jsonl --out results.jsonl --deadline 7200"
POLL_S, POLL_MAX_S, GROWTH = 1.0, 15.0, 1.5
# A service that is restarted comes back within this time.
PATIENCE_S = 300.0
ENDED = ("done", "cancelled", "failed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("file", type=Path, help='JSON lines: {"question": …, "custom_id"?: …, the fields of /answer}')
    parser.add_argument("--out", type=Path, required=True, help="where the results go, one JSON object a line")
    add_collection(parser, purpose="for questions that name none")
    parser.add_argument("--deadline", type=seconds, metavar="S", help="seconds by which all must be answered")
    parser.add_argument("--again", action="store_true", help="ask again what the same command has asked before")
    add_place(parser)
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Send the questions, wait, and write the results; exit code 1 if any question failed."""
    settings = load_settings(data_dir=arguments.data_dir)
    if arguments.out.is_dir() or not arguments.out.absolute().parent.is_dir():
        raise InvalidRequest(f"--out: {arguments.out} cannot be written")
    job = Job(Place(arguments.url, settings), read_questions(arguments.file), asked_of(arguments))
    ids = job.submitted(size=settings.batch.max_requests)
    batches = job.waited(ids)
    write_results(arguments.out, job.place, ids)
    report(batches, as_json=arguments.json)
    failed = sum(count_of(batch, "failed") for batch in batches)
    if failed:
        complain(f"{failed} questions failed; {arguments.out} says why")
    return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where the service is; one that is restarted may come back at another address with another key."""

    url: str | None
    settings: Settings

    def service(self) -> Remote:
        """Return the service. Raises: `Unreachable` if none runs, `StoreLocked` while it starts."""
        found = service_at(self.url, self.settings) if self.url else service_of(self.settings)
        if found is None:
            raise Unreachable(
                f"no service holds {self.settings.data_dir}: start one with `ragopt serve`, or give --url"
            )
        return found

    def told(self, path: str) -> Mapping[str, object]:
        """Return what the service says at a path, waiting for one that is being restarted. Raises: `RagoptError`."""
        until = time.monotonic() + PATIENCE_S
        while True:
            try:
                return self.service().get(path)
            except (Unreachable, StoreLocked):
                if time.monotonic() > until:
                    raise
            time.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Job:
    """The questions of a file. terms: what holds for all of them, and the name that makes a repetition harmless."""

    place: Place
    questions: Sequence[Mapping[str, object]]
    terms: tuple[Mapping[str, object], str]

    def submitted(self, *, size: int) -> list[str]:
        """Return the ids of the batches, at most `size` questions each; those of the same command before, if any."""
        asked, salt = self.terms
        found = []
        for start in range(0, len(self.questions), size):
            body = {**asked, "requests": self.questions[start : start + size]}
            name = hashlib.sha256(json.dumps([body, salt], sort_keys=True).encode()).hexdigest()
            found.append(str(self.place.service().post("/batch", body, idempotency_key=f"cli-{name[:40]}")["id"]))
        return found

    def waited(self, ids: Sequence[str]) -> list[Mapping[str, object]]:
        """Return the batches once they have ended, with a progress bar on standard error."""
        wait_s, before = POLL_S, -1
        with tqdm(total=len(self.questions), unit="question", desc="batch", dynamic_ncols=True) as bar:
            while True:
                batches = [self.place.told(f"/batch/{batch_id}") for batch_id in ids]
                done = sum(round(float(str(batch["progress"])) * count_of(batch, "total")) for batch in batches)
                bar.set_postfix_str(f"{cost_of(batches)} USD", refresh=False)
                bar.update(max(0, done - bar.n))
                if all(batch["status"] in ENDED for batch in batches):
                    return batches
                wait_s = POLL_S if done != before else min(POLL_MAX_S, wait_s * GROWTH)
                before = done
                time.sleep(wait_s)


def seconds(text: str) -> float:
    """Return a positive number of seconds. Raises: `ArgumentTypeError`."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of seconds")
    return value


def asked_of(arguments: argparse.Namespace) -> tuple[Mapping[str, object], str]:
    """Return the fields of the batch itself, and what tells this run from others: nothing unless it asks again."""
    terms: dict[str, object] = {"collection": arguments.collection}
    if arguments.deadline is not None:
        terms["deadline_s"] = arguments.deadline
    return terms, secrets.token_hex(8) if arguments.again else ""


def read_questions(path: Path) -> list[Mapping[str, object]]:
    """Return the questions of a file, each with a custom_id: its line's number where it has none.

    Raises: `InvalidRequest` naming the line that is wrong, `OSError`.
    """
    found: dict[str, Mapping[str, object]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        fields = fields_of(line, place=f"{path.name}:{number}")
        name = str(fields.setdefault("custom_id", str(number)))
        if name in found:
            raise InvalidRequest(f"{path.name}:{number}: the custom_id {name!r} was used before")
        found[name] = fields
    if not found:
        raise InvalidRequest(f"{path}: holds no question")
    return list(found.values())


def fields_of(line: bytes, *, place: str) -> dict[str, object]:
    """Return one question as its fields. Raises: `InvalidRequest`."""
    try:
        fields = json.loads(line)
    except ValueError as error:
        raise InvalidRequest(f"{place}: not a JSON object in UTF-8") from error
    if not isinstance(fields, dict) or not isinstance(fields.get("question"), str):
        raise InvalidRequest(f'{place}: not a JSON object with a "question"')
    return fields


def write_results(out: Path, place: Place, ids: Sequence[str]) -> None:
    """Write the results of the batches; what was there is replaced only when all of them are written."""
    unfinished = out.with_name(f".{out.name}.unfinished")
    with unfinished.open("wb") as file:
        for line in all_lines(place, ids):
            file.write(line)
    unfinished.replace(out)


def all_lines(place: Place, ids: Sequence[str]) -> Iterator[bytes]:
    """Yield the lines of all results, in order."""
    for batch_id in ids:
        yield from place.service().lines(f"/batch/{batch_id}/results")


def report(batches: Sequence[Mapping[str, object]], *, as_json: bool) -> None:
    """Print what became of the questions."""
    if as_json:
        say_json({"batches": list(batches)})
        return
    counts = {
        name: sum(count_of(batch, name) for batch in batches)
        for name in ("total", "answered", "batch", "live", "cache", "duplicate", "failed")
    }
    ways = ", ".join(f"{counts[name]} {name}" for name in ("batch", "live", "cache", "duplicate"))
    say(
        f"{counts['total']} questions: {counts['answered']} answered ({ways}), {counts['failed']} failed; "
        f"{cost_of(batches)} USD"
    )


def count_of(batch: Mapping[str, object], name: str) -> int:
    """Return one count of a batch."""
    counts = batch["counts"]
    return int(counts[name]) if isinstance(counts, Mapping) else 0


def cost_of(batches: Sequence[Mapping[str, object]]) -> str:
    """Return what the batches have cost so far in USD."""
    return f"{sum(float(str(batch['cost_usd'])) for batch in batches):.4f}"
