-- Stores a schedule. One whose cron line and time zone stay as they were keeps its next tick.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 schedule  6 cron line and time zone  7 definition  8 next tick
--         9 how many schedules a queue may have
--   Gives { 'stale' } | { 'full' } | { 'ok', 1 if it is new, next tick, created ms }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local schedule, next_tick, created = ARGV[5], ARGV[8], now
local stored = redis.call('HGET', SCHEDULES, schedule)
if stored then
  local timing, _, since = cmsgpack.unpack(stored)
  created = since
  if timing == ARGV[6] then next_tick = redis.call('ZSCORE', TICKS, schedule) or next_tick end
elseif redis.call('HLEN', SCHEDULES) >= tonumber(ARGV[9]) then
  return { 'full' }
end
redis.call('HSET', SCHEDULES, schedule, cmsgpack.pack(ARGV[6], ARGV[7], created))
redis.call('ZADD', TICKS, next_tick, schedule)
return { 'ok', stored and 0 or 1, next_tick, created }
