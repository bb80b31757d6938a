"""A disk that fills up under traffic, and has room again: what was acknowledged stays, and writing goes on.

The service runs on a small file system of its own, in a mount namespace that needs no privileges where the system
lets users have one. Source: unshare(1), user_namespaces(7).
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
from tqdm import tqdm

from eval.bench.service import RunningService, running_service, source_root
from eval.campaign.experiment import Size
from eval.campaign.inspecting import Known, client_of, inspect
from eval.campaign.traffic import NAMES, Traffic, ask, ingest, traffic
from eval.errors import BenchError
from eval.intervals import Interval, exact
from eval.report import Report, as_json
from indexes.room import LEAST_FREE_BYTES

ROUNDS = 20
DISK_MIB = 768
FULL_S = 1.5
RECOVERS_S = 20.0
SETTLES_S = 0.5
PIECE_BYTES = 1 << 20
# Half of what the service wants to have left: it refuses to write, and what it has begun still fits.
LITTLE_BYTES = LEAST_FREE_BYTES // 2
# What may be refused while there is no room: writes. Questions need none.
CODES = frozenset({"retrieval_unavailable", "state_unavailable", "insufficient_storage"})
FAULTS = ("lost", "phantom", "duplicate", "mixed", "half", "torn", "refused", "untyped", "died", "not_recovered")


@dataclass(slots=True)
class Filling:
    """What one run came to."""

    known: Known
    disk: Path
    asked: int = 0
    held: int = 0

    def fill(self, *, leave_bytes: int) -> None:
        """Leave no more than so many bytes on the disk."""
        with suppress(OSError), (self.disk / "filler").open("wb", buffering=0) as filler:
            while shutil.disk_usage(self.disk).free > leave_bytes:
                filler.write(bytes(PIECE_BYTES))

    def settle(self) -> None:
        """Return once as much of the disk is used as half a second before."""
        used, before = shutil.disk_usage(self.disk).used, -1
        until = time.monotonic() + RECOVERS_S
        while used != before and time.monotonic() < until:
            time.sleep(SETTLES_S)
            used, before = shutil.disk_usage(self.disk).used, used

    def empty(self) -> None:
        """Give the room back."""
        (self.disk / "filler").unlink(missing_ok=True)


def disk_full(size: Size) -> Report:
    """Return what a full disk did; without counts where this system lets nobody mount a small one."""
    with tempfile.TemporaryDirectory(prefix="ragopt-disk-") as scratch:
        result, disk = Path(scratch) / "result.json", Path(scratch) / "disk"
        disk.mkdir()
        own = ["--mount"] if os.getuid() == 0 else ["--mount", "--user", "--map-root-user"]
        mount = f'mount -t tmpfs -o size={DISK_MIB}m tmpfs "$1" && exec "$2" -m eval.campaign.disk "$@"'
        unshare = shutil.which("unshare")
        rounds = str(size.of(ROUNDS))
        if unshare is None or subprocess.run([unshare, *own, "true"], check=False, capture_output=True).returncode:  # noqa: S603
            return Report("disk", "generated", 0, size.seed, {"unshare": False}, {"fills": exact(0)})
        command = [unshare, *own, "sh", "-c", mount, "sh", str(disk), sys.executable, str(result), rounds]
        ended = subprocess.run([*command, str(size.seed)], cwd=source_root(), check=False)  # noqa: S603
        if ended.returncode or not result.is_file():
            raise BenchError(f"the run on a small disk ended with exit code {ended.returncode}")
        held = json.loads(result.read_text(encoding="utf-8"))
    metrics = {name: Interval(**interval) for name, interval in held["metrics"].items()}
    failures = tuple(held.get("failures", ()))
    return Report("disk", held["set"], held["n"], size.seed, held["config"], metrics, failures=failures)


def filled(disk: Path, rounds: int, *, seed: int) -> Report:
    """Fill the disk, look, and give the room back, again and again. Raises: `BenchError`."""
    with tempfile.TemporaryDirectory(prefix="ragopt-") as folder:
        run = Filling(Known(Path(folder), random.Random(seed)), disk)  # noqa: S311
        for number in tqdm(range(rounds), desc="full disks"):
            with served(run) as service:
                begin(run, service, number=number)
                one_filling(run, service, number=number)
        with served(run) as service:
            inspect(run.known, service)
    faults = run.known.faults
    counts = {"fills": rounds, "answers_looked_at": run.asked, "writes_refused": run.held}
    counts |= {kind: faults.counts[kind] for kind in FAULTS}
    metrics = {name: exact(value) for name, value in counts.items()}
    return Report("disk", "generated", rounds, seed, {"disk_mib": DISK_MIB}, metrics, failures=tuple(faults.examples))


def begin(run: Filling, service: RunningService, *, number: int) -> None:
    """Ingest the documents that the traffic then changes; in later rounds, look at what the one before has left.

    One question opens the cache's store. In memory, as this disk is, a hole that is read through a mapping takes a
    page: to open a store takes a hundred megabytes here, and none on a disk. So the disk fills once both are open.
    """
    if number:
        inspect(run.known, service)
    clients = Traffic(service, run.known.journal, run.known.faults)
    with client_of(service) as client:
        if not number:
            ingest(clients, client, NAMES)
        ask(clients, client, run.known.draw)
    run.settle()


def served(run: Filling) -> AbstractContextManager[RunningService]:
    """Return the service over a data dir on the small disk; its log and its socket lie elsewhere.

    The socket's folder is its own: no other process sees this disk, and would take its Redis for an orphan.
    """
    settings = {"XDG_RUNTIME_DIR": str(run.known.folder)}
    return running_service(run.known.folder, data_dir=run.disk / "data", settings=settings)


def one_filling(run: Filling, service: RunningService, *, number: int) -> None:
    """Fill the disk under traffic, and give the room back.

    In even rounds a little is left: writes are refused, the service lives and writes again afterwards. In odd ones
    nothing is left, and the service is killed unless the kernel has done so, for a write to a mapped file.
    """
    gentle = number % 2 == 0
    clients = Traffic(service, run.known.journal, run.known.faults, lasting=gentle, codes=CODES)
    with traffic(clients, seed=f"{number}"):
        time.sleep(run.known.draw.uniform(0, 0.5))
        run.fill(leave_bytes=LITTLE_BYTES if gentle else 0)
        time.sleep(FULL_S)
        until = time.monotonic() + RECOVERS_S
        while gentle and not clients.held and time.monotonic() < until:
            time.sleep(0.05)
        lives = alive(service)
        if lives and not gentle:
            os.kill(service.pid, signal.SIGKILL)
        run.empty()
    run.asked += clients.asked
    run.held += clients.held
    if gentle:
        run.known.faults.note("died", "the service ended when its disk was nearly full", int(not lives))
        refusal = last_refusal(service) if lives else ""
        free_mib = shutil.disk_usage(run.disk).free >> 20
        run.known.faults.note("not_recovered", f"with {free_mib} MiB free: {refusal}", int(bool(refusal)))


def alive(service: RunningService) -> bool:
    """Return whether the service answers."""
    with client_of(service) as client:
        try:
            return client.get("/healthz").is_success
        except httpx.TransportError:
            return False


def last_refusal(service: RunningService) -> str:
    """Return "" once a document can be stored and a conversation kept, else the last refusal of twenty seconds."""
    until = time.monotonic() + RECOVERS_S
    body = {"documents": [{"id": "after", "text": f"After {until}."}], "collection": "after"}
    asked = {"question": "What does sentence 1 of doc-03 say?", "conversation_id": "after"}
    with client_of(service) as client:
        while True:
            answers = (client.post("/ingest", json=body), client.post("/answer", json=asked))
            refused = [answer.text for answer in answers if not answer.is_success]
            if not refused or time.monotonic() > until:
                return "".join(refused)[:300]
            time.sleep(0.1)


def main(arguments: list[str]) -> int:
    """Run in the mount namespace that `disk_full` made, and write the report.

    arguments: where the disk is mounted, the interpreter, the file of the report, how many rounds, the seed.
    """
    disk, _, result, rounds, seed = arguments
    Path(result).write_text(as_json(filled(Path(disk), int(rounds), seed=int(seed))), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
