"""When a store is compacted: beside its writers where they let it, in their place where they never do."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from indexes.store import Store

# A store to which much is written all the time would never be compacted, and would grow without end.
MAX_SPOILT = 2


class Tidier:
    """Compacts one store; `lock` is what its writers hold."""

    def __init__(self, store: Store, lock: Callable[[], AbstractAsyncContextManager[object]]) -> None:
        self._store = store
        self._lock = lock
        self._spoilt = 0

    async def tidy(self) -> None:
        """Compact the store if enough was written; writers go on, but where they spoilt it twice, they wait.

        Raises: `StoreUnavailable`.
        """
        if self._spoilt < MAX_SPOILT:
            self._spoilt += not await self._store.optimize()
            return
        async with self._lock():
            await self._store.optimize()
        self._spoilt = 0
