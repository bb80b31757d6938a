"""What a Redis has done and holds, by its own account."""

from __future__ import annotations

from dataclasses import dataclass

from redis.asyncio import Redis

from ragopt.state.access import redis_errors


@dataclass(frozen=True, slots=True)
class RedisLoad:
    """Processor seconds, commands (those of scripts too) and bytes in use, since its start."""

    processor_s: float
    commands: int
    used_bytes: int


async def redis_load(redis: Redis) -> RedisLoad:
    """Return what Redis says of itself. Raises: `StateUnavailable`."""
    with redis_errors():
        said = await redis.info("all")
    commands = sum(values["calls"] for name, values in said.items() if name.startswith("cmdstat_"))
    return RedisLoad(float(said["used_cpu_user"] + said["used_cpu_sys"]), int(commands), int(said["used_memory"]))
