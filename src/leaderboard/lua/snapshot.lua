-- Reads what a snapshot of one ranking is to hold, where one is due: where none was taken since the last midnight (UTC).
--   KEYS  1 board  2 rank  3 snapshots
--   ARGV  1 asked (see _period.lua)  2 now µs ('' = server time)  3 since when there is the ranking, in ms
--         4 how many of the best entries it holds
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', now ms, list of the snapshots that are kept, how often a member was erased,
--         { ZSET member, … } }, without any where none is due.
local DAY_MS = 86400000
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local now = math.floor(period_clock(KEYS[1], clock_us(ARGV[2])) / 1000)
local list = redis.call('HGET', KEYS[3], 'list') or ''
local latest = tonumber(string.match(list, '(%d+)=%d+$') or ARGV[3])
local best = {}
if latest < now - now % DAY_MS then best = redis.call('ZRANGE', KEYS[2], 0, ARGV[4] - 1) end
return { 'ok', string.format('%.0f', now), list, redis.call('HGET', KEYS[1], 'erased') or '', best }
