"""API keys: who may call, for which tenant, and to do what.

A key is `rag_<id>_<secret>`. Redis holds its SHA-256, never the key. The secret has 256 random
bits, so a fast hash is as good as a slow one. The id is the client's and stays when the secret is
rotated: limits, budgets and the ledger go by it.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from pydantic import SecretStr
from redis.asyncio import Redis

from indexes.access import ANYONE, EVERYTHING, Reader
from ragopt.domain import TIER_RANK, Tier
from ragopt.errors import InvalidRequest, MissingKey, NotFound, StateUnavailable, TwoSecrets
from ragopt.state.access import redis_errors, redis_key
from ragopt.state.key_records import (
    ALL_TIERS,
    DEFAULT_TENANT,
    SCOPES,
    ApiKey,
    KeyRecord,
    OldSecret,
    Pins,
    Rotated,
    record_from_json,
    record_to_json,
    valid_name,
    valid_pins,
    valid_scopes,
)

BOOTSTRAP_ID, LOCAL_ID = "bootstrap", "local"
SECRET_BYTES = 32
COPY_S = 5.0  # how long a revoked key may still work in another process
RETRY_S = 1.0  # how long the copy is used without another try after Redis did not answer
MAX_COPIED = 10_000
KEY_FORMAT = re.compile(r"rag_(?P<id>[0-9a-f]{8})_[A-Za-z0-9_-]{43}")
REFUSED = "The API key is missing, unknown or revoked."
KEYS = redis_key("keys")
DAY_S = 86_400
MAX_OVERLAP_S = 30 * DAY_S
# KEYS: the keys. ARGV: the id, the record as it was read, the record that takes its place.
REPLACE = """
if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class CopiedRecord:
    """A record in this process and when it was read."""

    record: KeyRecord
    read_at: float


class KeyStore:
    """The keys in Redis, the bootstrap key, and an in-process copy of the keys that were used.

    A blank `bootstrap` is none. Methods raise `StateUnavailable` when Redis does not answer.
    """

    def __init__(self, redis: Redis, *, bootstrap: SecretStr | None, now: Callable[[], float] = time.time) -> None:
        self._redis = redis
        self._now = now
        self._trusted: list[KeyRecord] = []
        self._copied: dict[str, CopiedRecord] = {}
        self._retry_at = -math.inf
        if bootstrap is not None and bootstrap.get_secret_value().strip():
            self._trust(bootstrap.get_secret_value(), key_id=BOOTSTRAP_ID, tenant=DEFAULT_TENANT)

    async def create(
        self,
        tenant: str,
        name: str,
        *,
        scopes: Iterable[str],
        expires_at: float | None = None,
        pins: Pins | None = None,
        tiers: tuple[Tier, Tier] = ALL_TIERS,
        rates: tuple[int | None, int | None] = (None, None),
        reader: Reader = ANYONE,
    ) -> tuple[ApiKey, str]:
        """Return a new key and its plain text, which is kept nowhere.

        Raises: `InvalidRequest` for a tenant, name or pinned label that is empty, over 128 characters or
        not printable, for no or unknown scopes, for an `expires_at` that is not in the future, for
        `tiers`, floor and ceiling, whose floor is above the ceiling, and for a negative one of `rates`,
        requests and tokens per minute.
        """
        created_at = self._now()
        tenant, name = valid_name("tenant", tenant), valid_name("name", name)
        granted, pinned = valid_scopes(scopes), valid_pins(pins or Pins())
        if expires_at is not None and not created_at < expires_at < math.inf:
            raise InvalidRequest("expires_at: must be a time in the future, in Unix seconds")
        if TIER_RANK[tiers[0]] > TIER_RANK[tiers[1]]:
            raise InvalidRequest(f"tier_floor: {tiers[0]} is above the tier_ceiling, {tiers[1]}")
        if any(rate is not None and rate < 0 for rate in rates):
            raise InvalidRequest("rpm, tpm: must not be negative; 0 is no limit")
        told = (tenant, name, granted, created_at, expires_at, *pinned, *tiers, *rates, reader)
        while True:
            key = ApiKey(secrets.token_hex(4), *told)
            plain = new_secret(key.id)
            with redis_errors():
                if await self._redis.hsetnx(KEYS, key.id, record_to_json(KeyRecord(key, digest_of(plain)))):
                    return key, plain

    async def rotate(self, key_id: str, *, overlap_s: float = DAY_S) -> Rotated:
        """Give the key a second secret; the one it has ends in `overlap_s` seconds, at once where that is 0.

        Everything else of the key stays. Raises: `NotFound`; `TwoSecrets` while an older secret is live;
        `InvalidRequest` for an expired key, and an overlap below 0 or above 30 days.
        """
        if not 0 <= overlap_s <= MAX_OVERLAP_S:
            raise InvalidRequest("overlap: must be 0 to 30 days")
        plain = new_secret(key_id)

        def rotated(record: KeyRecord, now: float) -> KeyRecord:
            old = record.live_old(now)
            if old is not None:
                left = math.ceil(old.ends_at - now)
                raise TwoSecrets(
                    f"key {key_id} has two live secrets: wait {left} s until the older one ends, or end it with "
                    f"`ragopt keys revoke {key_id} --old-secret`"
                )
            if record.key.expires_at is not None and record.key.expires_at <= now:
                raise InvalidRequest(f"key {key_id} has expired: create another")
            ending = OldSecret(record.digest, now + overlap_s)
            return replace(record, digest=digest_of(plain), rotated_at=now, old=ending)

        record = await self._changed(key_id, rotated)
        return Rotated(record.key, plain, record.old.ends_at if record.old else self._now())

    async def end_old(self, key_id: str) -> bool:
        """End the older of two secrets at once; returns False if there is one alone. Raises: `NotFound`."""
        ended = False

        def without(record: KeyRecord, now: float) -> KeyRecord:
            nonlocal ended
            ended = record.live_old(now) is not None
            return replace(record, old=None)

        await self._changed(key_id, without)
        return ended

    async def _changed(self, key_id: str, change: Callable[[KeyRecord, float], KeyRecord]) -> KeyRecord:
        """Return the record after a change of it; whoever changes it at the same time does so before or after."""
        while True:
            with redis_errors():
                stored = await self._redis.hget(KEYS, key_id)
            if stored is None:
                raise NotFound(f"there is no key {key_id!r}")
            record = change(record_from_json(stored), self._now())
            with redis_errors():
                done = await self._redis.eval(REPLACE, 1, KEYS, key_id, stored, record_to_json(record))
            if done:
                self._copied.pop(key_id, None)
                return record

    async def records(self, tenant: str | None = None) -> list[KeyRecord]:
        """Return the keys in Redis with the digests of their secrets, oldest first; of one tenant if given."""
        with redis_errors():
            stored = await self._redis.hvals(KEYS)
        found = [record for record in map(record_from_json, stored) if tenant in (None, record.key.tenant)]
        return sorted(found, key=lambda record: (record.key.created_at, record.key.id))

    async def all(self, tenant: str | None = None) -> list[ApiKey]:
        """Return the keys in Redis, oldest first; of one tenant if given."""
        return [record.key for record in await self.records(tenant)]

    async def revoke(self, key_id: str) -> bool:
        """Delete the key; returns False if there was none. Other processes follow within 5 seconds."""
        with redis_errors():
            removed = await self._redis.hdel(KEYS, key_id)
        self._copied.pop(key_id, None)
        return bool(removed)

    async def authenticate(self, presented: str) -> ApiKey:
        """Return the key that was presented.

        While Redis is down a key that was used before is known from its copy, whatever its age.
        Raises: `MissingKey` if it is unknown, revoked or expired; `StateUnavailable` if that cannot be told now.
        """
        digest = digest_of(presented)
        for trusted in self._trusted:
            if hmac.compare_digest(trusted.digest, digest):
                return trusted.key
        form = KEY_FORMAT.fullmatch(presented)
        record = await self._record(form["id"], digest) if form else None
        if record is None or not record.opens(digest, now=self._now()):
            raise MissingKey(REFUSED)
        if record.key.expires_at is not None and record.key.expires_at <= self._now():
            raise MissingKey("The API key has expired.")
        return record.key

    def trust_local(self, secret: str, *, tenant: str = DEFAULT_TENANT) -> None:
        """Accept `secret` with all scopes from now on, in this process only: the CLI of the same data dir."""
        self._trust(secret, key_id=LOCAL_ID, tenant=valid_name("tenant", tenant))

    def _trust(self, secret: str, *, key_id: str, tenant: str) -> None:
        if not secret.strip():
            raise InvalidRequest("a trusted key must not be blank")
        # The operator's own: whoever holds it may do everything, so its labels are believed.
        # `[limits]` holds for the bootstrap key; the command line of the same data dir is the operator.
        rate = 0 if key_id == LOCAL_ID else None
        key = ApiKey(
            key_id,
            tenant,
            key_id,
            frozenset(SCOPES),
            self._now(),
            None,
            trusted_labels=True,
            rpm=rate,
            tpm=rate,
            reader=EVERYTHING,
        )
        self._trusted.append(KeyRecord(key, digest_of(secret)))

    async def _record(self, key_id: str, digest: str) -> KeyRecord | None:
        """Return the record by way of the copy. Misses are not copied, so wrong keys take no memory.

        A copy that the secret does not open may be older than the secret, and is not believed.
        """
        copied, now = self._copied.get(key_id), self._now()
        if copied is not None and not copied.record.opens(digest, now=now):
            copied = None
        if copied is not None and (0 <= now - copied.read_at < COPY_S or now < self._retry_at):
            return copied.record
        try:
            with redis_errors():
                stored = await self._redis.hget(KEYS, key_id)
        except StateUnavailable:
            self._retry_at = now + RETRY_S
            if copied is None:
                raise
            return copied.record
        self._copied.pop(key_id, None)
        if stored is None:
            return None
        if len(self._copied) >= MAX_COPIED:
            self._copied.pop(next(iter(self._copied)))
        record = record_from_json(stored)
        self._copied[key_id] = CopiedRecord(record, now)
        return record


def new_secret(key_id: str) -> str:
    """Return the plain text of a key with a fresh secret."""
    return f"rag_{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}"


def digest_of(secret: str) -> str:
    """Return the SHA-256 of the text in hex."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
