"""The audit log of a service, or none."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from ragopt.audit.file import AuditFile
from ragopt.audit.trail import Audit, AuditTrail, NoAudit
from ragopt.config import Settings
from ragopt.errors import ConfigError


def audit_file(settings: Settings) -> AuditFile | None:
    """Return the file of the audit log, None where it is off."""
    chosen = settings.audit
    if not chosen.enabled:
        return None
    return AuditFile(chosen.file_in(settings.data_dir), max_file_bytes=chosen.max_file_bytes)


async def opened_audit(settings: Settings, stack: AsyncExitStack) -> Audit:
    """Return what takes the acts of a service, closed with the stack.

    Raises: `ConfigError` where the log cannot be written: a service must not start without the audit it is to have.
    """
    file = audit_file(settings)
    if file is None:
        return NoAudit()
    try:
        await asyncio.to_thread(file.append, [])
    except OSError as error:
        raise ConfigError(f"RAGOPT_AUDIT__PATH: the audit log cannot be written: {error}") from error
    trail = AuditTrail(file, text=settings.audit.text, max_waiting=settings.audit.max_waiting)
    return await stack.enter_async_context(trail)
