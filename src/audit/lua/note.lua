-- Notes what was done.
--   KEYS  1 log
--   ARGV  1 now µs ('' = server time)  2 about how many entries are kept  3 entry
--   Gives the entry's id.
local now, latest = math.floor(clock_us(ARGV[1]) / 1000), 0
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if last then latest = tonumber(string.match(last[1], '^%d+')) end
-- Ids go up though the clock steps back; `at` is what it showed.
local id = string.format('%.0f-*', math.max(now, latest))
return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], id, 'at', string.format('%.0f', now), 'entry', ARGV[3])
