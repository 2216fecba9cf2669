-- Counts the entries of periods of a window, and tells what has ended.
--   KEYS  1 board, then the rank ZSET of each period
--   ARGV  1 asked (see _period.lua)  2 now µs ('' = server time)
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', now ms, until when all that has ended is closed in ms, for each
--         period: entries }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local floor = tonumber(redis.call('HGET', KEYS[1], 'floor') or '0')
local now = period_clock(KEYS[1], clock_us(ARGV[2]))
local counted = { 'ok', string.format('%.0f', math.floor(now / 1000)), string.format('%.0f', math.floor(floor / 1000)) }
for i = 2, #KEYS do counted[#counted + 1] = redis.call('ZCARD', KEYS[i]) end
return counted
