-- Counts the entries of periods of a window, and tells what has ended.
--   KEYS  1 board  2 what is closing, then the rank ZSET of each period
--   ARGV  1 asked (see _period.lua)  2 now µs ('' = server time), then for each period: WINDOW:PERIOD
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', now ms, until when all that has ended is closed in ms, for each
--         period: entries, 1 if it is closing }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local now = period_clock(KEYS[1], clock_us(ARGV[2]))
local counted = { 'ok', string.format('%.0f', math.floor(now / 1000)), string.format('%.0f', closed_until(KEYS[1])) }
for i = 3, #KEYS do
  counted[#counted + 1] = redis.call('ZCARD', KEYS[i])
  counted[#counted + 1] = redis.call('HEXISTS', KEYS[2], ARGV[i])
end
return counted
