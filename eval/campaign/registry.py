"""The experiments of the campaign, in the order in which they run."""

from __future__ import annotations

from functools import partial

from eval.batch_kills import KillJob, batch_kills
from eval.cache.freshness import FreshnessJob, freshness
from eval.campaign import disk, kills, network_provider, network_qdrant, network_redis, soak
from eval.campaign.experiment import Experiment, Figure, Size, zero
from eval.campaign.suites import suite
from eval.faults import FaultJob, run_campaign
from eval.report import Report

STUB_ROUNDS = 10
OPERATIONS = 10_000


def experiments(*, qdrant_url: str = "") -> tuple[Experiment, ...]:
    """Return every experiment; qdrant_url: of a real server in place of the stand-in."""
    return (*kills_and_cuts(qdrant_url), *others(), *suites(), borders())


def kills_and_cuts(qdrant_url: str) -> tuple[Experiment, ...]:
    """Return the experiments in which something that the service stands on dies or is out of reach."""
    return (
        Experiment(
            "kills",
            "kill -9 of service and Redis while documents are ingested, deleted and asked for",
            minutes=13,
            measure=kills.kills,
            figures=(Figure("kills", least=kills.KILLS), *zero(*kills.FAULTS)),
        ),
        Experiment(
            "redis",
            "the way to Redis slowed, paused, refused and cut under traffic",
            minutes=3,
            measure=network_redis.redis_network,
            figures=(
                Figure("outages", least=network_redis.ROUNDS * len(network_redis.WEATHERS)),
                *zero(*network_redis.FAULTS),
            ),
        ),
        Experiment(
            "provider",
            "the way to the model provider slowed, paused, refused and cut in the middle of answers",
            minutes=3,
            measure=network_provider.provider_network,
            figures=(
                Figure("outages", least=network_provider.ROUNDS * len(network_provider.WEATHERS)),
                *zero(*network_provider.FAULTS),
            ),
        ),
        Experiment(
            "qdrant",
            "the way to a Qdrant server slowed, paused, refused and cut under traffic",
            minutes=3,
            measure=partial(network_qdrant.qdrant_network, url=qdrant_url),
            figures=(
                Figure("outages", least=network_qdrant.ROUNDS * len(network_qdrant.WEATHERS)),
                *zero(*network_qdrant.FAULTS),
            ),
        ),
    )


def others() -> tuple[Experiment, ...]:
    """Return the experiments on what else goes wrong: disks, providers' words, caches, time."""
    return (
        Experiment(
            "disk",
            "a disk that fills up under traffic: nearly, or to the last byte with the service killed on it",
            minutes=2,
            measure=disk.disk_full,
            figures=(Figure("fills", least=disk.ROUNDS), Figure("writes_refused", least=1), *zero(*disk.FAULTS)),
        ),
        Experiment(
            "batches",
            "kill -9 at every step of a batch, with both providers' batch APIs",
            minutes=3,
            measure=lambda size: batch_kills(KillJob(seed=size.seed)),
            figures=(
                Figure("kills", least=11),
                *zero("second_submissions", "unanswered", "paid_wrong", "held_at_end"),
            ),
        ),
        Experiment(
            "words",
            "every fault of the provider stub against retries, fallback and circuit breakers",
            minutes=3,
            measure=stub_faults,
            figures=zero("truncated_served_as_whole", "spliced_or_lost", "untyped_error", "late", "burst_leaked"),
        ),
        Experiment(
            "freshness",
            "random changes of documents under the response cache",
            minutes=5,
            measure=lambda size: freshness(FreshnessJob(size.of(OPERATIONS, least=100), size.seed)),
            figures=(Figure("asked", least=OPERATIONS / 2), *zero("stale_served")),
        ),
        Experiment(
            "soak",
            "mixed traffic for half an hour: the slope of memory, open files and threads",
            minutes=soak.MINUTES,
            measure=soak.soak,
            figures=(Figure("minutes", least=soak.MINUTES), *zero(*soak.FAULTS)),
        ),
    )


def stub_faults(size: Size) -> Report:
    """Return what became of every fault of the provider stub."""
    return run_campaign(FaultJob(rounds=size.of(STUB_ROUNDS), seed=size.seed))


def suites() -> tuple[Experiment, ...]:
    """Return the experiments that are tests, run with many more cases."""
    return (
        Experiment(
            "fuzz",
            "whatever the OpenAPI page allows, and what it does not, against the service on a socket",
            minutes=10,
            measure=suite("fuzz", "tests/faults/test_openapi.py", marked="campaign"),
            figures=(Figure("requests", least=20_000), *zero("wrong", "failed")),
        ),
        Experiment(
            "machine",
            "ingest, update, delete, ask, expire and restart in any order, beside a model in memory",
            minutes=5,
            measure=suite("machine", "tests/faults/test_machine.py", marked="campaign"),
            figures=(Figure("steps", least=5_000), *zero("failed")),
        ),
        Experiment(
            "parsers",
            "files of any bytes, and damaged PDF, DOCX and HTML, through every parser and its limits",
            minutes=5,
            measure=suite("parsers", "tests/faults/test_any_file.py", "tests/faults/test_bad_files.py"),
            figures=(Figure("files", least=5_000), *zero("failed")),
        ),
        Experiment(
            "guards",
            "tenant, version and reader filter, stream guard and budget taken out, one at a time: a test must fail",
            minutes=0.2,
            measure=suite("guards", "tests/faults/test_guards.py"),
            figures=(Figure("flipped", least=6), *zero("failed")),
        ),
        Experiment(
            "properties",
            "packing within its budget, isolation of the cache, the chain of the audit log: fifty times the cases",
            minutes=15,
            measure=suite("properties", "tests/ragopt", marked="campaign"),
            figures=(Figure("tests", least=4), *zero("failed")),
        ),
    )


def borders() -> Experiment:
    """Return the experiment on what keeps tenants and readers apart."""
    return Experiment(
        "borders",
        "strangers at every endpoint, and cached answers over every border of tenant, reader, prompt and filter",
        minutes=8,
        measure=suite(
            "borders",
            "tests/faults/test_cache_isolation.py",
            "tests/e2e/test_access.py",
            "tests/e2e/test_tenants.py",
        ),
        figures=(Figure("probes", least=10_000), *zero("leaks", "failed")),
    )
