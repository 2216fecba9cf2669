-- Closes the periods that have ended, and hands those beyond what is kept on to be freed.
--   KEYS  1 board  2 what is to be freed, then the list of periods of each window that resets
--   ARGV  1 board version  2 now µs ('' = server time)  3 most periods of a window to hand on, then for each list: what
--         its periods follow in keys, how many ended ones are kept
--   Gives { 'stale' } | { 'ok', periods closed, rankings to be freed, now µs }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local now_us = period_clock(KEYS[1], clock_us(ARGV[2]))
local now = math.floor(now_us / 1000)
local before = math.floor(tonumber(redis.call('HGET', KEYS[1], 'floor') or '0') / 1000)
local floor, closed = before, 0
for i = 3, #KEYS do
  local list, stem, keep = KEYS[i], ARGV[i * 2 - 2], tonumber(ARGV[i * 2 - 1])
  local last = redis.call('ZREVRANGEBYSCORE', list, now, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  if last[2] then floor = math.max(floor, tonumber(last[2])) end
  closed = closed + redis.call('ZCOUNT', list, string.format('(%.0f', before), now)
  local surplus = math.min(redis.call('ZCOUNT', list, '-inf', now) - keep, tonumber(ARGV[3]))
  for _, period in ipairs(surplus > 0 and redis.call('ZRANGE', list, 0, surplus - 1) or {}) do
    redis.call('RPUSH', KEYS[2], stem .. period)
    redis.call('ZREM', list, period)
  end
end
if floor > before then
  redis.call('HSET', KEYS[1], 'floor', string.format('%.0f', floor * 1000))
  tell(redis.call('HGET', KEYS[1], 'watched'), now_us)
end
return { 'ok', closed, redis.call('LLEN', KEYS[2]), string.format('%.0f', now_us) }
