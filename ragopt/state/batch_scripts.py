"""The Lua scripts of batches: each of them all or nothing, and harmless when it runs again."""

# KEYS: the Idempotency-Key's, the info, the open batches, the tenant's, those of the API key with their sizes.
# ARGV: id, digest, terms, now, seconds to live, whether there is an Idempotency-Key, what stands before an id in the
# key of an info, the questions, how many of the API key may be open (0: any number). Returns id and digest of the batch
# that counts; "" and how many questions are open where that leaves no room.
CREATE = """
if ARGV[6] == '1' then
  local first = redis.call('HMGET', KEYS[1], 'id', 'digest')
  if first[1] and redis.call('EXISTS', ARGV[7] .. first[1]) == 1 then return first end
end
local open, own = 0, redis.call('HGETALL', KEYS[5])
for i = 1, #own, 2 do
  local told = redis.call(
    'HMGET', ARGV[7] .. own[i], 'state', 'ended_at', 'batch', 'live', 'cache', 'duplicate', 'none')
  if told[1] and not told[2] then
    open = open + tonumber(own[i + 1])
    for at = 3, 7 do open = open - tonumber(told[at] or '0') end
  else
    redis.call('HDEL', KEYS[5], own[i])
  end
end
local most = tonumber(ARGV[9])
if most > 0 and open + tonumber(ARGV[8]) > most then return {'', tostring(open)} end
redis.call('HSET', KEYS[5], ARGV[1], ARGV[8])
redis.call('EXPIRE', KEYS[5], ARGV[5])
if ARGV[6] == '1' then
  redis.call('HSET', KEYS[1], 'id', ARGV[1], 'digest', ARGV[2])
  redis.call('EXPIRE', KEYS[1], ARGV[5])
end
redis.call('HSET', KEYS[2], 'terms', ARGV[3], 'state', 'queued')
redis.call('ZADD', KEYS[3], 0, ARGV[1])
redis.call('ZADD', KEYS[4], ARGV[4], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', ARGV[4] - ARGV[5])
redis.call('EXPIRE', KEYS[4], ARGV[5])
return {ARGV[1], ARGV[2]}
"""

# KEYS: the open batches. ARGV: the last sign of life that is too old, now, the worker's token, what stands before an id
# in the key of an info.
CLAIM = """
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1])
for _, id in ipairs(ids) do
  redis.call('ZADD', KEYS[1], ARGV[2], id)
  redis.call('HSET', ARGV[4] .. id, 'worker', ARGV[3])
  if redis.call('HGET', ARGV[4] .. id, 'state') == 'queued' then
    redis.call('HSET', ARGV[4] .. id, 'state', 'running')
  end
end
return ids
"""

# KEYS: the open batches.
ORPHAN = """
for _, id in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do redis.call('ZADD', KEYS[1], 0, id) end
return 1
"""

# KEYS: the open batches, the info. ARGV: id, now, the worker's token. Returns whether the batch is still the worker's.
BEAT = """
if redis.call('HGET', KEYS[2], 'worker') ~= ARGV[3] then return 0 end
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
return 1
"""

# KEYS: info, results, calls, costs, halves. ARGV: how many results, calls and costs; of each result its number, itself
# and how it was served; of each call its key and itself; of each cost its name and nano-USD.
RECORD = """
local at = 4
for _ = 1, tonumber(ARGV[1]) do
  if redis.call('HSETNX', KEYS[2], ARGV[at], ARGV[at + 1]) == 1 then
    redis.call('HINCRBY', KEYS[1], ARGV[at + 2], 1)
  end
  at = at + 3
end
for _ = 1, tonumber(ARGV[2]) do
  redis.call('HSET', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
for _ = 1, tonumber(ARGV[3]) do
  if redis.call('HSETNX', KEYS[4], ARGV[at], ARGV[at + 1]) == 1 then
    redis.call('HINCRBY', KEYS[1], 'cost_nano', ARGV[at + 1])
  end
  at = at + 2
end
return 1
"""

# KEYS: the info. ARGV: state, error, now.
FINISH = """
if redis.call('HEXISTS', KEYS[1], 'ended_at') == 1 then return 0 end
redis.call('HSET', KEYS[1], 'state', ARGV[1], 'error', ARGV[2], 'ended_at', ARGV[3])
return 1
"""

# KEYS: the open batches, what is kept, what goes. ARGV: id, seconds to live, how many are kept.
CLOSE = """
redis.call('ZREM', KEYS[1], ARGV[1])
for i = 2, #KEYS do
  if i <= 1 + tonumber(ARGV[3]) then redis.call('EXPIRE', KEYS[i], ARGV[2]) else redis.call('DEL', KEYS[i]) end
end
return 1
"""
