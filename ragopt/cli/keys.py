"""`ragopt keys`: API keys, created, listed, rotated and revoked beside a running service or without one."""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime

from indexes.access import EVERYTHING, Reader
from ragopt.audit.events import LOCAL, Act, Actor, AuditEvent
from ragopt.cli.arguments import add_data_dir, add_json, duration_s
from ragopt.cli.terminal import say, say_json, say_table
from ragopt.config import Settings, load_settings
from ragopt.domain import TIER_RANK
from ragopt.errors import InvalidRequest, NotFound
from ragopt.principals import reader_of
from ragopt.state.key_records import KeyRecord, Pins, key_fields, reads_of
from ragopt.state.keys import DAY_S
from ragopt.wiring.auditing import audit_file
from ragopt.wiring.books import opened_keys

EXAMPLE = "ragopt keys create --tenant acme --name website --scopes query"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    every = argparse.ArgumentParser(add_help=False)
    add_data_dir(every)
    add_json(every)
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    def action(name: str, summary: str, *, example: str) -> argparse.ArgumentParser:
        return actions.add_parser(name, parents=[every], help=summary, epilog=f"Example: {example}")

    create = action("create", "create a key; it is shown once", example=EXAMPLE)
    create.add_argument("--tenant", required=True, help="whose documents the key reaches")
    create.add_argument("--name", required=True, help="what the key is for")
    create.add_argument("--scopes", default="ingest,query", help="of ingest, query, admin (default: ingest,query)")
    create.add_argument("--team", help="count every request of the key to this team, whatever its labels say")
    create.add_argument("--feature", help="count every request of the key to this feature")
    create.add_argument(
        "--trusted-labels", action="store_true", help="hold hard budgets to the labels that the key's program sends"
    )
    create.add_argument("--tier-floor", choices=TIER_RANK, default="simple", help="no route starts in a lower tier")
    create.add_argument("--tier-ceiling", choices=TIER_RANK, default="complex", help="no route goes above this tier")
    create.add_argument("--rpm", type=int, help="requests per minute, 0: no limit (default: what [limits] says)")
    create.add_argument("--tpm", type=int, help="tokens per minute, 0: no limit (default: what [limits] says)")
    create.add_argument("--groups", help="groups whose documents it may read, as hr,eng (default: open documents only)")
    create.add_argument("--all-documents", action="store_true", help="read every document, whatever its access list")
    create.add_argument("--expires-in", type=duration_s, help="the key ends after this time, as 90d (default: never)")
    listing = action("list", "list the keys", example="ragopt keys list")
    listing.add_argument("--tenant", help="the keys of one tenant only")
    rotate = action("rotate", "give a key a new secret", example="ragopt keys rotate 1f0c9a2b --overlap 24h")
    rotate.add_argument("id", help="the key's id, as `keys list` shows it")
    rotate.add_argument(
        "--overlap", type=duration_s, default=float(DAY_S), help="until the old secret ends, 0: at once (default: 24h)"
    )
    revoke = action("revoke", "revoke a key", example="ragopt keys revoke 1f0c9a2b")
    revoke.add_argument("id", help="the key's id, as `keys list` shows it")
    revoke.add_argument("--old-secret", action="store_true", help="end only the older of its two secrets")


def run(arguments: argparse.Namespace) -> int:
    """Do what the action says.

    Raises: `InvalidRequest`, `NotFound`, `TwoSecrets`, `StateUnavailable`, `ConfigError`.
    """
    settings = load_settings(data_dir=arguments.data_dir)
    actions = {"create": create, "list": listed, "rotate": rotate, "revoke": revoke}
    asyncio.run(actions[arguments.action](settings, arguments))
    return 0


async def create(settings: Settings, arguments: argparse.Namespace) -> None:
    """Create a key and print it."""
    async with opened_keys(settings) as keys:
        scopes = [scope.strip() for scope in arguments.scopes.split(",") if scope.strip()]
        tiers = (arguments.tier_floor, arguments.tier_ceiling)
        pins = Pins(arguments.team, arguments.feature, arguments.trusted_labels)
        rates = (arguments.rpm, arguments.tpm)
        reader = reader_named(arguments.groups, everything=arguments.all_documents)
        key, plain = await keys.create(
            arguments.tenant,
            arguments.name,
            scopes=scopes,
            expires_at=None if arguments.expires_in is None else time.time() + arguments.expires_in,
            pins=pins,
            tiers=tiers,
            rates=rates,
            reader=reader,
        )
    written_down(settings, "key_created", key.id, tenant=key.tenant)
    if arguments.json:
        say_json({"id": key.id, "key": plain, "tenant": key.tenant, "scopes": sorted(key.scopes)})
        return
    say(plain)
    say(f"id {key.id}, tenant {key.tenant}, scopes {','.join(sorted(key.scopes))}; the key is not shown again")


def reader_named(groups: str | None, *, everything: bool) -> Reader:
    """Return the reader of a new key. Raises: `InvalidRequest`."""
    if everything and groups is not None:
        raise InvalidRequest("--groups, --all-documents: name the one or the other")
    named = [name.strip() for name in (groups or "").split(",") if name.strip()]
    return EVERYTHING if everything else reader_of((f"group:{name}" for name in named), field="--groups")


async def listed(settings: Settings, arguments: argparse.Namespace) -> None:
    """Print the keys, oldest first."""
    async with opened_keys(settings) as keys:
        found = await keys.records(arguments.tenant)
    if arguments.json:
        say_json([key_json(record) for record in found])
        return
    say_table([["id", "tenant", "name", "scopes", "created", "secrets"], *map(row_of, found)])


def key_json(record: KeyRecord) -> dict[str, object]:
    """Return what is known about a key and about its secrets; those themselves are not in it."""
    key = record.key
    return {**key_fields(key), "reads": reads_of(key), "secrets": record.secrets(time.time())}


def row_of(record: KeyRecord) -> list[str]:
    """Return one line of the list of keys."""
    key, old = record.key, record.live_old(time.time())
    secrets = "1" if old is None else f"2, the older until {moment(old.ends_at)}"
    return [key.id, key.tenant, key.name, ",".join(sorted(key.scopes)), day(key.created_at), secrets]


async def rotate(settings: Settings, arguments: argparse.Namespace) -> None:
    """Give a key a new secret and print it. Raises: `NotFound`, `TwoSecrets`, `InvalidRequest`."""
    async with opened_keys(settings) as keys:
        made = await keys.rotate(arguments.id, overlap_s=arguments.overlap)
    written_down(settings, "key_rotated", made.key.id, tenant=made.key.tenant)
    if arguments.json:
        say_json({"id": made.key.id, "key": made.plain, "tenant": made.key.tenant, "old_ends_at": made.old_ends_at})
        return
    say(made.plain)
    say(f"the old secret of {made.key.id} ends at {moment(made.old_ends_at)}; the new one is not shown again")


async def revoke(settings: Settings, arguments: argparse.Namespace) -> None:
    """Revoke a key, or end the older of its secrets. Raises: `NotFound`."""
    if arguments.old_secret:
        await end_old(settings, arguments)
        return
    async with opened_keys(settings) as keys:
        tenant = next((key.tenant for key in await keys.all() if key.id == arguments.id), "")
        if not await keys.revoke(arguments.id):
            raise NotFound(f"there is no key {arguments.id!r}")
    written_down(settings, "key_revoked", arguments.id, tenant=tenant)
    if arguments.json:
        say_json({"id": arguments.id, "revoked": True})
    else:
        say(f"revoked {arguments.id}; a running service follows within 5 seconds")


async def end_old(settings: Settings, arguments: argparse.Namespace) -> None:
    """End the older secret of a key. Raises: `NotFound` for a key that has one alone."""
    async with opened_keys(settings) as keys:
        if not await keys.end_old(arguments.id):
            raise NotFound(f"key {arguments.id} has one secret alone")
    if arguments.json:
        say_json({"id": arguments.id, "old_secret": "ended"})
    else:
        say(f"ended the old secret of {arguments.id}; a running service follows within 5 seconds")


def written_down(settings: Settings, act: Act, key_id: str, *, tenant: str) -> None:
    """Write to the audit log, where there is one, what was done to a key. Raises: `OSError`."""
    file = audit_file(settings)
    if file is not None:
        file.append([AuditEvent(act, Actor(LOCAL, tenant), subject=key_id)])
        file.sync()


def day(timestamp: float) -> str:
    """Return the UTC date of a Unix time."""
    return datetime.fromtimestamp(timestamp, UTC).date().isoformat()


def moment(timestamp: float) -> str:
    """Return the UTC date and time of a Unix time, to the minute."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat(sep=" ", timespec="minutes")
