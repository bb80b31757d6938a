"""The ledger in Redis: a capped stream of rows, and sums per tenant and UTC day in whole nano-USD."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from redis.asyncio import Redis

from ragopt.money.ledger import Addend, AnswerRow, LedgerRow, RatingRow, day_of
from ragopt.state.access import as_bytes, redis_errors, redis_key
from ragopt.state.outbox import Outbox, Write

MAX_ROWS = 100_000
PAGE = 5_000
# Over a year of days, for a comparison with the same month of last year.
DAY_TTL_S = 400 * 86_400
# How long a row whose reply was lost may be written again without counting twice; those of a batch are written again
# by the process that goes on with it, whenever that starts.
SEEN_TTL_S, SEEN_BATCH_TTL_S = 7_200, 3 * 86_400
# As long as an answer can be rated.
SEEN_RATING_TTL_S = 8 * 86_400
# Names are the callers' choice: beyond this many sums a day, new names are added up under "".
MAX_SUMS = 20_000
# How long a reader waits for what is being written; a Redis that is down does not take longer to say so.
ON_ITS_WAY_S = 0.5
ROWS = redis_key("ledger")

# KEYS: the row's mark, the stream, the day's sums. ARGV: the row or "", most rows, seconds the mark lives, seconds
# the sums live, most sums; then for each addend what stands before its name, its name, and by how much.
APPEND = """
if not redis.call('SET', KEYS[1], '1', 'NX', 'EX', ARGV[3]) then return 0 end
if ARGV[1] ~= '' then redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'row', ARGV[1]) end
for i = 6, #ARGV, 3 do
  local sum = ARGV[i] .. ARGV[i + 1]
  if redis.call('HEXISTS', KEYS[3], sum) == 0 and redis.call('HLEN', KEYS[3]) >= tonumber(ARGV[5]) then
    sum = ARGV[i]
  end
  redis.call('HINCRBY', KEYS[3], sum, ARGV[i + 2])
end
redis.call('EXPIRE', KEYS[3], ARGV[4])
return 1
"""


@dataclass(frozen=True, slots=True)
class DaySums:
    """The sums of one UTC day: dimension → name → measure → amount, money in nano-USD."""

    day: date
    sums: Mapping[str, Mapping[str, Mapping[str, int]]] = field(default_factory=dict)

    def total(self, measure: str) -> int:
        """Return a measure of the whole tenant, 0 where nothing was added."""
        return self.sums.get("total", {}).get("", {}).get(measure, 0)


class Ledger:
    """Rows and sums; writing never fails and never waits, reading raises `StateUnavailable`.

    Who reads sees what this process has written before.
    """

    def __init__(self, redis: Redis, outbox: Outbox, *, max_rows: int = MAX_ROWS, max_sums: int = MAX_SUMS) -> None:
        self._redis = redis
        self._outbox = outbox
        self._max_rows = max_rows
        self._max_sums = max_sums

    @property
    def lost(self) -> int:
        """Return how many writes this process gave up."""
        return self._outbox.dropped

    def append(self, row: LedgerRow) -> None:
        """Write one attempt at a model call down, once however often it is appended."""
        seen_s = SEEN_BATCH_TTL_S if row.batch else SEEN_TTL_S
        # A call of a batch that was given up may turn out to be charged: that row must not count as written.
        mark = "failed" if row.unused else "call"
        self._put(f"{mark}:{row.id}", row.addends(), at=(row.payer.tenant, row.at), text=row.to_json(), seen_s=seen_s)

    def answered(self, row: AnswerRow, *, batch: bool = False) -> None:
        """Write one answer down, once however often; batch: it may be written again days later."""
        seen_s = SEEN_BATCH_TTL_S if batch else SEEN_TTL_S
        self._put(f"answer:{row.id}", row.addends(), at=(row.payer.tenant, row.at), text="", seen_s=seen_s)

    def rated(self, row: RatingRow) -> None:
        """Count a rating: the first one of an answer, whatever is said of it later."""
        self._put(f"rating:{row.answer_id}", row.addends(), at=(row.tenant, row.at), text="", seen_s=SEEN_RATING_TTL_S)

    async def days(self, tenant: str, days: Sequence[date]) -> list[DaySums]:
        """Return the tenant's sums of these days, in their order. Raises: `StateUnavailable`."""
        await self._outbox.flush(within_s=ON_ITS_WAY_S)
        with redis_errors():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for day in days:
                    pipeline.hgetall(day_key(tenant, day.isoformat()))
                stored = await pipeline.execute()
        return [DaySums(day, sums_of(fields)) for day, fields in zip(days, stored, strict=True)]

    async def rows(self, *, limit: int = 1_000) -> list[Mapping[str, object]]:
        """Return the newest rows of every tenant, newest first. Raises: `StateUnavailable`."""
        await self._outbox.flush(within_s=ON_ITS_WAY_S)
        with redis_errors():
            stored = await self._redis.xrevrange(ROWS, count=limit) or []
        return [json.loads(fields[b"row"]) for _, fields in stored if fields]

    async def rows_since(self, since: float) -> tuple[list[Mapping[str, object]], float]:
        """Return the rows of every tenant from a Unix time on, oldest first, and since when none is missing.

        Older ones are gone where more calls were made than rows are kept. Raises: `StateUnavailable`.
        """
        found: list[Mapping[str, object]] = []
        after = str(int(since * 1_000))
        await self._outbox.flush(within_s=ON_ITS_WAY_S)
        with redis_errors():
            oldest = await self._redis.xrange(ROWS, count=1) or []
            while page := await self._redis.xrange(ROWS, min=after, count=PAGE) or []:
                found += [json.loads(fields[b"row"]) for _, fields in page if fields]
                after = f"({as_bytes(page[-1][0] or b'+').decode()}"
            full = await self._redis.xlen(ROWS) >= self._max_rows
        first_s = int(as_bytes(oldest[0][0] or b"0").split(b"-")[0]) / 1_000 if oldest and full else since
        return found, max(since, first_s)

    def _put(self, mark: str, addends: Iterable[Addend], *, at: tuple[str, float], text: str, seen_s: int) -> None:
        """Write a row and its sums; at: whose they are, and when in Unix seconds."""
        tenant, moment = at
        keys = (redis_key("ledger-seen", mark), ROWS, day_key(tenant, day_of(moment)))
        sums = [part for addend in added(addends) for part in sum_args(addend)]
        args = (text, self._max_rows, seen_s, DAY_TTL_S, self._max_sums, *sums)
        self._outbox.put(Write(APPEND, keys, args))


def added(addends: Iterable[Addend]) -> list[Addend]:
    """Return the addends without those that add nothing."""
    return [addend for addend in addends if addend[3]]


def sum_args(addend: Addend) -> tuple[str, bytes, int]:
    """Return what stands before the name of a sum, the name, and by how much it grows."""
    dimension, name, measure, amount = addend
    return f"{dimension}\0{measure}\0", name.encode("utf-8", "surrogatepass"), amount


def sums_of(fields: Mapping[bytes | str, bytes | str]) -> dict[str, dict[str, dict[str, int]]]:
    """Return the sums of one stored day; {} for a day without any."""
    sums: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for stored, amount in fields.items():
        dimension, measure, name = as_bytes(stored).decode("utf-8", "surrogatepass").split("\0", 2)
        sums[dimension][name][measure] = int(amount)
    return sums


def day_key(tenant: str, day: str) -> str:
    """Return the Redis key of a tenant's sums of one day."""
    return redis_key("spend", tenant, day)
