"""What one running service shares between its requests: typed, and reached through the request only."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from anyio import CapacityLimiter
from fastapi import Request

from ragopt.api.jobs import JobRunner
from ragopt.api.limits import Admission
from ragopt.errors import Overloaded

if TYPE_CHECKING:
    from ragopt.wiring import Service

KNOWN_TENANTS = 1024
# Files parsed at once, each in a process that may take a core and a gigabyte; in threads of their own,
# so that a hostile file holds up no question.
PARSERS = 2


class KnownTenants:
    """The tenant of each key that passed lately, the newest 1,024: a guess, never a permission."""

    def __init__(self) -> None:
        self._tenants: OrderedDict[bytes, str] = OrderedDict()

    def guess(self, presented: str) -> str | None:
        """Return the tenant that `presented` belonged to when it last passed, None if it never did."""
        return self._tenants.get(digest(presented))

    def remember(self, presented: str, tenant: str) -> None:
        """Keep the tenant of a key that passed; the key itself is not kept."""
        self._tenants[digest(presented)] = tenant
        self._tenants.move_to_end(digest(presented))
        if len(self._tenants) > KNOWN_TENANTS:
            self._tenants.popitem(last=False)


def digest(secret: str) -> bytes:
    """Return the SHA-256 of a secret."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()


@dataclass(slots=True)
class Lifetime:
    """Whether the service still takes new work, and how many requests it works on; a drain is never taken back."""

    draining: bool = False
    open_requests: int = 0

    def refuse_new_work(self) -> None:
        """Return while new work is taken. Raises: `Overloaded` during a drain."""
        if self.draining:
            raise Overloaded("The service is shutting down; try again.")


@dataclass(frozen=True, slots=True)
class Running:
    """The service, its places for questions and for ingests, its background jobs and its lifetime."""

    service: Service
    questions: Admission
    ingests: Admission
    jobs: JobRunner
    lifetime: Lifetime
    known_tenants: KnownTenants = field(default_factory=KnownTenants)
    parsers: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PARSERS))


def running(request: Request) -> Running:
    """Return what the lifespan of the application made."""
    return cast("Running", request.state.running)
