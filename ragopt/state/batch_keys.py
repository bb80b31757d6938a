"""The names of what Redis holds of batches."""

from __future__ import annotations

from ragopt.state.access import redis_key

OPEN = redis_key("batches")


def info_key(batch_id: str) -> str:
    """Return where it stands how a batch is."""
    return redis_key("batch", batch_id)


def part_key(kind: str, batch_id: str) -> str:
    """Return where one kind of record of a batch is."""
    return redis_key(f"batch-{kind}", batch_id)


def tenant_key(tenant: str) -> str:
    """Return where the ids of a tenant's batches are."""
    return redis_key("batches-of", tenant)


def waiting_key(tenant: str, key_id: str) -> str:
    """Return where the ids of the batches of an API key are that may have open questions, each with its size."""
    return redis_key("batches-of-key", tenant, key_id)


def named_key(tenant: str, key: str) -> str:
    """Return where the batch of a tenant's Idempotency-Key is."""
    return redis_key("batch-key", tenant, key)
