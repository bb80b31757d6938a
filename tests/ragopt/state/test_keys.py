"""API keys: made once, recognised always, refused at once when they are not ours."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from indexes.access import Reader
from ragopt.errors import InvalidRequest, MissingKey, NotFound, StateUnavailable, TwoSecrets
from ragopt.state.access import as_bytes
from ragopt.state.key_records import SCOPES, Pins, Rotated, record_from_json
from ragopt.state.keys import COPY_S, MAX_OVERLAP_S, RETRY_S, KeyStore
from ragopt.state.redis_server import EmbeddedRedis
from tests.ragopt.state.scenarios import Clock, with_redis


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


def test_a_created_key_authenticates_as_its_tenant(redis_url: str) -> None:
    """A new key works at once, in any process, with the tenant and scopes it was made for."""

    async def scenario(redis: Redis) -> None:
        key, plain = await KeyStore(redis, bootstrap=None).create("acme", "laptop", scopes=["query", "ingest"])
        assert await KeyStore(redis, bootstrap=None).authenticate(plain) == key
        assert (key.tenant, key.name, key.expires_at) == ("acme", "laptop", None)
        assert key.scopes == {"ingest", "query"}
        assert re.fullmatch(r"rag_[0-9a-f]{8}_[A-Za-z0-9_-]{43}", plain)
        assert plain.startswith(f"rag_{key.id}_")

    with_redis(redis_url, scenario)


def test_the_plain_key_is_not_in_redis(redis_url: str) -> None:
    """Whoever reads Redis cannot call the service."""

    async def scenario(redis: Redis) -> None:
        _, plain = await KeyStore(redis, bootstrap=None).create("acme", "laptop", scopes=["query"])
        stored = b"".join([as_bytes(value) for name in await redis.keys("*") for value in await redis.hvals(name)])
        assert b"laptop" in stored
        assert plain.split("_", 2)[2].encode() not in stored

    with_redis(redis_url, scenario)


@pytest.mark.parametrize(
    "presented",
    ["", "nonsense", "rag_00000000_" + "A" * 43, "rag_zzzzzzzz_" + "A" * 43, "Schlüssel\ud800", "rag_*_" + "A" * 43],
)
def test_an_unknown_key_is_refused(redis_url: str, presented: str) -> None:
    """What was never given out is no key, whatever it looks like."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=SecretStr("boot"))
        with pytest.raises(MissingKey):
            await store.authenticate(presented)

    with_redis(redis_url, scenario)


def test_the_right_id_with_a_wrong_secret_is_refused(redis_url: str) -> None:
    """An id is public; only the secret opens."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=None)
        key, _ = await store.create("acme", "laptop", scopes=["query"])
        with pytest.raises(MissingKey):
            await store.authenticate(f"rag_{key.id}_{'A' * 43}")

    with_redis(redis_url, scenario)


def test_an_expired_key_is_refused(redis_url: str, clock: Clock) -> None:
    """A key works until its time and not at it, copy or no copy."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=None, now=clock)
        _, plain = await store.create("acme", "laptop", scopes=["query"], expires_at=clock() + 2)
        clock.seconds += 1.9
        assert (await store.authenticate(plain)).tenant == "acme"
        clock.seconds += 0.1
        with pytest.raises(MissingKey, match="expired"):
            await store.authenticate(plain)

    with_redis(redis_url, scenario)


def test_a_revoked_key_stops_at_once_here_and_soon_elsewhere(redis_url: str, clock: Clock) -> None:
    """The process that revokes refuses the key at once, another one after at most five seconds."""

    async def scenario(redis: Redis) -> None:
        here, elsewhere = (KeyStore(redis, bootstrap=None, now=clock) for _ in range(2))
        key, plain = await here.create("acme", "laptop", scopes=["query"])
        for store in (here, elsewhere):
            assert await store.authenticate(plain) == key
        assert await here.revoke(key.id) is True
        assert await here.revoke(key.id) is False
        with pytest.raises(MissingKey):
            await here.authenticate(plain)
        assert await elsewhere.authenticate(plain) == key
        clock.seconds += COPY_S
        with pytest.raises(MissingKey):
            await elsewhere.authenticate(plain)

    with_redis(redis_url, scenario)


def test_a_known_key_outlives_redis_and_an_unknown_one_does_not(own_redis: EmbeddedRedis, clock: Clock) -> None:
    """With Redis killed, keys that were used still work at any age; others cannot be judged."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=SecretStr("boot"), now=clock)
        key, plain = await store.create("acme", "laptop", scopes=["query"])
        assert await store.authenticate(plain) == key
        os.kill(own_redis.pid, signal.SIGKILL)
        for seconds in (COPY_S + 1, RETRY_S / 2, 3_600):
            clock.seconds += seconds
            assert await store.authenticate(plain) == key
        assert (await store.authenticate("boot")).tenant == "default"
        # It may have been rotated to since the copy was made, or never be a key: nobody can tell now.
        for unknown in (f"rag_{key.id}_{'A' * 43}", "rag_00000000_" + "A" * 43):
            with pytest.raises(StateUnavailable):
                await store.authenticate(unknown)

    with_redis(own_redis.url, scenario)


def test_wrong_keys_take_no_memory(redis_url: str) -> None:
    """However many wrong keys are tried, nothing of them is kept, and a key made later works at once."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=None)
        for n in range(200):
            with pytest.raises(MissingKey):
                await store.authenticate(f"rag_{n:08x}_{'A' * 43}")
        assert len(store._copied) == 0
        key, plain = await store.create("acme", "laptop", scopes=["query"])
        assert await store.authenticate(plain) == key

    with_redis(redis_url, scenario)


def test_the_bootstrap_key_has_every_scope_of_the_default_tenant(redis_url: str) -> None:
    """RAGOPT_API_KEY may be any string and needs no Redis."""

    async def scenario(redis: Redis) -> None:
        key = await KeyStore(redis, bootstrap=SecretStr("Schlüssel mit Leerzeichen")).authenticate(
            "Schlüssel mit Leerzeichen"
        )
        assert (key.tenant, key.scopes) == ("default", frozenset(SCOPES))

    with_redis(redis_url, scenario)


def test_a_blank_bootstrap_key_opens_nothing(redis_url: str) -> None:
    """An empty RAGOPT_API_KEY is no key, not a key that is empty."""

    async def scenario(redis: Redis) -> None:
        with pytest.raises(MissingKey):
            await KeyStore(redis, bootstrap=SecretStr("")).authenticate("")

    with_redis(redis_url, scenario)


def test_a_local_key_is_trusted_by_this_process_only(redis_url: str) -> None:
    """trust_local adds a key in memory, for the tenant it names, and leaves Redis as it was."""

    async def scenario(redis: Redis) -> None:
        store, other = KeyStore(redis, bootstrap=None), KeyStore(redis, bootstrap=None)
        store.trust_local("local secret", tenant="acme")
        key = await store.authenticate("local secret")
        assert (key.tenant, key.scopes, await store.all()) == ("acme", frozenset(SCOPES), [])
        with pytest.raises(MissingKey):
            await other.authenticate("local secret")

    with_redis(redis_url, scenario)


def test_keys_are_listed_oldest_first_and_by_tenant(redis_url: str, clock: Clock) -> None:
    """The list holds every key without its secret, or those of one tenant."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=SecretStr("boot"), now=clock)
        made = []
        for tenant in ("b", "a", "b"):
            made.append((await store.create(tenant, "name", scopes=["admin"]))[0])
            clock.seconds += 1
        assert await store.all() == made
        assert await store.all("b") == [made[0], made[2]]
        assert await store.all("nobody") == []

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("tenant", ["", "   ", "x" * 129, "a\nb", "a\x00", "\ud800", "a\u200bb"])
def test_a_tenant_or_name_that_cannot_be_shown_is_refused(redis_url: str, tenant: str) -> None:
    """Names are 1 to 128 printable characters; the error says which one is wrong."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=None)
        with pytest.raises(InvalidRequest, match="tenant"):
            await store.create(tenant, "name", scopes=["query"])
        with pytest.raises(InvalidRequest, match="name"):
            await store.create("acme", tenant, scopes=["query"])
        assert await store.all() == []

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("scopes", [["query", "root"], [], "que"])
def test_unknown_scopes_are_refused_with_the_known_ones(redis_url: str, scopes: list[str]) -> None:
    """A typo in a scope is an error that lists the scopes."""

    async def scenario(redis: Redis) -> None:
        with pytest.raises(InvalidRequest, match="ingest, query, admin"):
            await KeyStore(redis, bootstrap=None).create("acme", "name", scopes=scopes)

    with_redis(redis_url, scenario)


@pytest.mark.parametrize("expires_at", [0.0, float("nan"), float("inf"), float("-inf")])
def test_an_expiry_that_is_no_future_time_is_refused(redis_url: str, expires_at: float) -> None:
    """A key cannot be born expired or expire at no time at all."""

    async def scenario(redis: Redis) -> None:
        with pytest.raises(InvalidRequest, match="expires_at"):
            await KeyStore(redis, bootstrap=None).create("acme", "name", scopes=["query"], expires_at=expires_at)

    with_redis(redis_url, scenario)


def test_a_key_pins_labels_and_vouches_for_them(redis_url: str) -> None:
    """What it pins wins over the request and is vouched for; a trusted key vouches for all three labels."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=SecretStr("boot"))
        _, plain = await store.create("acme", "bot", scopes=["query"], pins=Pins(team="hr"))
        key = await KeyStore(redis, bootstrap=None).authenticate(plain)
        assert key.labels({"team": "sales", "user": "ann"}) == {"team": "hr", "user": "ann"}
        assert key.vouched() == {"team"}
        _, plain = await store.create("acme", "app", scopes=["query"], pins=Pins(trusted_labels=True))
        assert (await store.authenticate(plain)).vouched() == {"user", "team", "feature"}
        assert (await store.authenticate("boot")).vouched() == {"user", "team", "feature"}
        with pytest.raises(InvalidRequest, match="team"):
            await store.create("acme", "bot", scopes=["query"], pins=Pins(team=" "))


def test_a_key_keeps_its_tiers(redis_url: str) -> None:
    """Floor and ceiling come back with the key; one that says nothing has every tier, a floor above is refused."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=None)
        key, plain = await store.create("acme", "trial", scopes=["query"], tiers=("simple", "medium"))
        assert (key.tier_floor, key.tier_ceiling) == ("simple", "medium")
        assert await KeyStore(redis, bootstrap=None).authenticate(plain) == key
        other, _ = await store.create("acme", "full", scopes=["query"])
        assert (other.tier_floor, other.tier_ceiling) == ("simple", "complex")
        with pytest.raises(InvalidRequest, match="tier_floor: complex is above"):
            await store.create("acme", "wrong", scopes=["query"], tiers=("complex", "simple"))

    with_redis(redis_url, scenario)


def test_a_key_of_an_older_version_is_read() -> None:
    """It pins nothing and vouches for nothing."""
    stored = {"id": "00000001", "tenant": "acme", "name": "old", "scopes": ["query"], "created_at": 1.0}
    key = record_from_json(json.dumps({**stored, "expires_at": None, "digest": "00"})).key
    assert (key.pinned(), key.vouched()) == ({}, frozenset())


def test_a_key_of_an_older_version_has_every_tier() -> None:
    """Records written before keys had tiers are read."""
    stored = json.dumps(
        {"id": "1f0c9a2b", "tenant": "t", "name": "n", "scopes": [], "created_at": 1, "expires_at": None, "digest": "d"}
    )
    key = record_from_json(stored).key
    assert (key.tier_floor, key.tier_ceiling) == ("simple", "complex")


def test_a_key_carries_its_limits(redis_url: str) -> None:
    """Requests and tokens per minute, none unless said; the operator's own command line has no limit."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=SecretStr("boot"))
        store.trust_local("local")
        _, limited = await store.create("acme", "chat", scopes=["query"], rates=(60, 0))
        _, other = await store.create("acme", "other", scopes=["query"])
        keys = [await store.authenticate(secret) for secret in (limited, other, "boot", "local")]
        assert [(key.rpm, key.tpm) for key in keys] == [(60, 0), (None, None), (None, None), (0, 0)]
        with pytest.raises(InvalidRequest, match="rpm, tpm"):
            await store.create("acme", "wrong", scopes=["query"], rates=(-1, None))

    with_redis(redis_url, scenario)


def test_a_rotated_key_has_two_secrets_until_the_overlap_ends(redis_url: str, clock: Clock) -> None:
    """Both open the same key, in a running service at once; then the new one alone."""

    async def scenario(redis: Redis) -> None:
        here, service = (KeyStore(redis, bootstrap=None, now=clock) for _ in range(2))
        key, first = await here.create(
            "acme", "app", scopes=["query"], rates=(60, None), reader=Reader.of(["group:hr"])
        )
        assert await service.authenticate(first) == key
        rotated = await here.rotate(key.id, overlap_s=100)
        assert (rotated.key, rotated.old_ends_at) == (key, clock() + 100)
        for store in (here, service):
            assert [await store.authenticate(secret) for secret in (first, rotated.plain)] == [key, key]
        (record,) = await here.records("acme")
        assert [secret["ends_at"] for secret in record.secrets(clock())] == [None, clock() + 100]
        clock.seconds += 100
        for store in (here, service):
            assert await store.authenticate(rotated.plain) == key
            with pytest.raises(MissingKey):
                await store.authenticate(first)
        assert len((await here.records())[0].secrets(clock())) == 1

    with_redis(redis_url, scenario)


def test_a_third_secret_waits_for_the_end_of_the_first(redis_url: str, clock: Clock) -> None:
    """Rotating again is refused with what to do; the old secret ends with its time, or at once when told to."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=None, now=clock)
        key, first = await store.create("acme", "app", scopes=["query"])
        second = (await store.rotate(key.id, overlap_s=60)).plain
        with pytest.raises(TwoSecrets, match="wait 60 s"):
            await store.rotate(key.id)
        assert await store.end_old(key.id) is True
        assert await store.end_old(key.id) is False
        with pytest.raises(MissingKey):
            await store.authenticate(first)
        third = (await store.rotate(key.id, overlap_s=0)).plain
        with pytest.raises(MissingKey):
            await store.authenticate(second)
        assert (await store.authenticate(third)).id == key.id
        assert await store.revoke(key.id)
        with pytest.raises(MissingKey):
            await store.authenticate(third)

    with_redis(redis_url, scenario)


def test_rotations_at_once_make_one_new_secret(redis_url: str) -> None:
    """Of many at the same time one succeeds, and the others are told that there are two secrets."""

    async def scenario(redis: Redis) -> None:
        stores = [KeyStore(redis, bootstrap=None) for _ in range(8)]
        key, _ = await stores[0].create("acme", "app", scopes=["query"])
        results = await asyncio.gather(*(store.rotate(key.id) for store in stores), return_exceptions=True)
        made = [result for result in results if isinstance(result, Rotated)]
        assert (len(made), sum(isinstance(result, TwoSecrets) for result in results)) == (1, 7)
        assert await stores[1].authenticate(made[0].plain) == key

    with_redis(redis_url, scenario)


def test_what_cannot_be_rotated_is_refused(redis_url: str, clock: Clock) -> None:
    """No key of that id, one that has expired, and an overlap of no sensible length."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=SecretStr("boot"), now=clock)
        for key_id in ("00000000", "bootstrap"):
            with pytest.raises(NotFound):
                await store.rotate(key_id)
        key, _ = await store.create("acme", "app", scopes=["query"], expires_at=clock() + 1)
        for overlap_s in (-1, MAX_OVERLAP_S + 1, float("nan")):
            with pytest.raises(InvalidRequest, match="overlap"):
                await store.rotate(key.id, overlap_s=overlap_s)
        clock.seconds += 1
        with pytest.raises(InvalidRequest, match="expired"):
            await store.rotate(key.id)

    with_redis(redis_url, scenario)


def test_both_secrets_outlive_redis(own_redis: EmbeddedRedis, clock: Clock) -> None:
    """While Redis is down, a known copy opens to both secrets, and to the old one no longer than its time."""

    async def scenario(redis: Redis) -> None:
        store = KeyStore(redis, bootstrap=None, now=clock)
        key, first = await store.create("acme", "app", scopes=["query"])
        second = (await store.rotate(key.id, overlap_s=3_600)).plain
        assert await store.authenticate(second) == key
        os.kill(own_redis.pid, signal.SIGKILL)
        clock.seconds += 600
        assert [await store.authenticate(secret) for secret in (first, second)] == [key, key]
        clock.seconds += 3_000
        assert await store.authenticate(second) == key
        with pytest.raises(StateUnavailable):
            await store.authenticate(first)

    with_redis(own_redis.url, scenario)
