"""Moving collections from one engine to another: the same points, the manifest last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from indexes.errors import SettingsMismatch
from indexes.store import Engine, Point, Store, Where

BATCH_POINTS = 256
# Where `kind` is not this, a reader that finds no manifest sees none of it.
MANIFEST = "manifest"
EVERYTHING = Where()

Copied: TypeAlias = Callable[[str, int], None]


@dataclass(frozen=True, slots=True)
class MigratedStore:
    """One collection that was copied: the engine's name for it and how many points it has."""

    name: str
    points: int


async def copy_collections(
    source: Engine, target: Engine, *, dim: int, copied: Copied | None = None
) -> list[MigratedStore]:
    """Copy every store of `source` that `target` does not hold yet, and return what was copied, by name.

    A collection becomes visible in the target with its last point. A run that was cut off is taken up again by the
    next one: points that are there already are written over. dim: size of the dense vectors. copied: told the name
    and how many more points of it were written.

    Raises: `SettingsMismatch` if the target has a collection of that name with other contents, `StoreUnavailable`.
    """
    found = []
    for name in await source.names():
        stores = await source.open(name, dim=dim), await target.open(name, dim=dim)
        found.append(MigratedStore(name, await copy_store(*stores, name=name, copied=copied)))
    return found


async def copy_store(source: Store, target: Store, *, name: str, copied: Copied | None = None) -> int:
    """Return how many points the target holds after all of the source's were written there, the manifest last.

    Raises: `SettingsMismatch`, `StoreUnavailable`.
    """
    manifests = [point async for point in source.scroll(Where(equal={"kind": MANIFEST}))]
    await refuse_other_contents(target, manifests, name=name)
    batch: list[Point] = []
    async for point in source.scroll(EVERYTHING, with_vectors=True):
        if point.payload.get("kind") != MANIFEST:
            batch.append(point)
        if len(batch) >= BATCH_POINTS:
            await written(target, batch, name=name, copied=copied)
            batch = []
    await written(target, batch, name=name, copied=copied)
    await written(target, manifests, name=name, copied=copied)
    return await target.count(EVERYTHING)


async def written(target: Store, batch: list[Point], *, name: str, copied: Copied | None) -> None:
    """Write the points, if there are any, and tell of them."""
    if not batch:
        return
    await target.upsert(batch)
    if copied is not None:
        copied(name, len(batch))


async def refuse_other_contents(target: Store, manifests: list[Point], *, name: str) -> None:
    """Raise `SettingsMismatch` if the target's collection is published and not as one of these manifests says."""
    wanted = {point.id: point.payload for point in manifests}
    async for point in target.scroll(Where(equal={"kind": MANIFEST})):
        # Generation 0 is a collection that a service opened and nobody wrote to.
        if point.payload.get("generation") != 0 and wanted.get(point.id) != point.payload:
            raise SettingsMismatch(f"{name} is there already with other contents: delete one of the two")
