"""A key without its secret, how it is stored, and what a new one may be."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from indexes.access import ANYONE, Reader
from ragopt.domain import Tier
from ragopt.errors import InvalidRequest
from ragopt.principals import reader_fields, reader_from

ALL_TIERS: tuple[Tier, Tier] = ("simple", "complex")
SCOPES = ("ingest", "query", "admin")
DEFAULT_TENANT = "default"
MAX_NAME_CHARS = 128


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is known about a key, without its secret. Times are Unix seconds; `expires_at` None: never.

    team, feature: pinned, so that no request of the key is counted elsewhere; None: the request may say.
    trusted_labels: whether the program that holds the key vouches for the labels it sends.
    tier_floor, tier_ceiling: the tiers that its routes stay within. rpm, tpm: requests and tokens per minute, 0 for
    no limit, None for what `[limits]` says. reader: whose documents it may read beside those of everybody; of a
    request that acts for somebody, what is left of it; acting_for: whom it named then, which is not stored.
    """

    id: str
    tenant: str
    name: str
    scopes: frozenset[str]
    created_at: float
    expires_at: float | None
    team: str | None = None
    feature: str | None = None
    trusted_labels: bool = False
    tier_floor: Tier = "simple"
    tier_ceiling: Tier = "complex"
    rpm: int | None = None
    tpm: int | None = None
    reader: Reader = ANYONE
    acting_for: tuple[str, ...] = ()

    def labels(self, said: Mapping[str, str]) -> dict[str, str]:
        """Return the labels of a request that said these: what the key pins wins."""
        return {**said, **self.pinned()}

    def vouched(self) -> frozenset[str]:
        """Return the labels that a hard budget may be held to: all of a trusted key, else the pinned ones."""
        return frozenset(("user", "team", "feature")) if self.trusted_labels else frozenset(self.pinned())

    def pinned(self) -> dict[str, str]:
        """Return the labels that the key pins."""
        return {name: value for name, value in (("team", self.team), ("feature", self.feature)) if value is not None}


@dataclass(frozen=True, slots=True)
class Pins:
    """What a new key is to pin and to vouch for; see `ApiKey`."""

    team: str | None = None
    feature: str | None = None
    trusted_labels: bool = False


@dataclass(frozen=True, slots=True)
class OldSecret:
    """The secret before the newest one, which opens until `ends_at`, in Unix seconds; digest: as of `KeyRecord`."""

    digest: str
    ends_at: float


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as Redis holds it. digest: the SHA-256 of the whole key with its newest secret, in hex.

    rotated_at: when that secret was made, None where it is the first. old: the one before, None if it has been ended.
    """

    key: ApiKey
    digest: str
    rotated_at: float | None = None
    old: OldSecret | None = None

    def opens(self, digest: str, *, now: float) -> bool:
        """Return whether a secret of this digest is live; takes as long whichever of the two it is."""
        newest = hmac.compare_digest(self.digest, digest)
        old = self.live_old(now)
        return newest or (old is not None and hmac.compare_digest(old.digest, digest))

    def live_old(self, now: float) -> OldSecret | None:
        """Return the secret before the newest one while it is live."""
        return self.old if self.old is not None and now < self.old.ends_at else None

    def secrets(self, now: float) -> list[dict[str, float | None]]:
        """Return when each live secret was made and when it ends, the newest first; None: not known, and never."""
        newest: dict[str, float | None] = {"created_at": self.rotated_at or self.key.created_at, "ends_at": None}
        old = self.live_old(now)
        return [newest] if old is None else [newest, {"created_at": None, "ends_at": old.ends_at}]


@dataclass(frozen=True, slots=True)
class Rotated:
    """A key with a new secret: its plain text, kept nowhere, and when the old one ends, in Unix seconds."""

    key: ApiKey
    plain: str
    old_ends_at: float


def valid_name(field: str, value: str) -> str:
    """Return `value` if it can name a tenant or a key. Raises: `InvalidRequest` naming the field."""
    if not value.strip() or len(value) > MAX_NAME_CHARS or not value.isprintable():
        raise InvalidRequest(f"{field}: must be 1 to {MAX_NAME_CHARS} printable characters")
    return value


def valid_pins(pins: Pins) -> tuple[str | None, str | None, bool]:
    """Return team, feature and trust if a key can pin them. Raises: `InvalidRequest` naming the field."""
    team = None if pins.team is None else valid_name("team", pins.team)
    feature = None if pins.feature is None else valid_name("feature", pins.feature)
    return team, feature, pins.trusted_labels


def valid_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Return the set of scopes. Raises: `InvalidRequest` listing the known ones if one is unknown or none is given."""
    granted = frozenset([scopes] if isinstance(scopes, str) else scopes)
    if not granted or not granted <= set(SCOPES):
        unknown = ", ".join(sorted(granted - set(SCOPES))) or "none given"
        raise InvalidRequest(f"scopes: {unknown}; the scopes are {', '.join(SCOPES)}")
    return granted


def key_fields(key: ApiKey) -> dict[str, object]:
    """Return what is known about a key as JSON can hold it, all but its reader; its secret is not in it."""
    return {
        "id": key.id,
        "tenant": key.tenant,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "team": key.team,
        "feature": key.feature,
        "trusted_labels": key.trusted_labels,
        "tier_floor": key.tier_floor,
        "tier_ceiling": key.tier_ceiling,
        "rpm": key.rpm,
        "tpm": key.tpm,
    }


def reads_of(key: ApiKey) -> str | list[str]:
    """Return whose documents a key may read beside those of everybody, as people are told it: `all` or principals."""
    return "all" if key.reader.everything else [*key.reader.principals]


def record_to_json(record: KeyRecord) -> str:
    """Return the record as it is stored."""
    return json.dumps(
        {
            **key_fields(record.key),
            "reader": reader_fields(record.key.reader),
            "digest": record.digest,
            "rotated_at": record.rotated_at,
            "old": None if record.old is None else asdict(record.old),
        }
    )


def record_from_json(stored: bytes | str) -> KeyRecord:
    """Return the record that `record_to_json` wrote, an older version's as well."""
    fields = json.loads(stored)
    key = ApiKey(
        id=fields["id"],
        tenant=fields["tenant"],
        name=fields["name"],
        scopes=frozenset(fields["scopes"]),
        created_at=fields["created_at"],
        expires_at=fields["expires_at"],
        team=fields.get("team"),
        feature=fields.get("feature"),
        trusted_labels=fields.get("trusted_labels", False),
        # Keys of older versions have no tiers and no limits.
        tier_floor=fields.get("tier_floor", "simple"),
        tier_ceiling=fields.get("tier_ceiling", "complex"),
        rpm=fields.get("rpm"),
        tpm=fields.get("tpm"),
        # Keys from before lists had no documents to be kept from: they read what everybody reads.
        reader=reader_from(fields.get("reader")),
    )
    old = fields.get("old")
    return KeyRecord(key, fields["digest"], fields.get("rotated_at"), None if old is None else OldSecret(**old))
