"""What finds personal data, opened and closed with whoever uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

from ragopt.config import Settings
from ragopt.privacy.presidio import PresidioRecogniser
from ragopt.privacy.recognition import OWN, Recognisers


async def loaded_recognisers(settings: Settings, stack: AsyncExitStack) -> Recognisers:
    """Return what finds personal data, its model closed with the stack. Raises: `ConfigError` if it cannot be had."""
    if not settings.privacy.model:
        return OWN
    trained = await asyncio.to_thread(PresidioRecogniser.load, settings.privacy)
    stack.push_async_callback(asyncio.to_thread, trained.close)
    return Recognisers(trained=trained)


@contextmanager
def opened_recognisers(settings: Settings) -> Iterator[Recognisers]:
    """Yield the same to a command; blocking. Raises: `ConfigError`."""
    if not settings.privacy.model:
        yield OWN
        return
    trained = PresidioRecogniser.load(settings.privacy)
    try:
        yield Recognisers(trained=trained)
    finally:
        trained.close()
