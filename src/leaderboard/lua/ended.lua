-- Looks whether a period has ended for good, sees to it that it stays so, and counts its entries.
--   KEYS  1 board  2 what is closing  3 the list of periods  4 rank  5 segments
--   ARGV  1 board version  2 now µs ('' = server time)  3 its end in ms  4 its name  5 WINDOW:PERIOD
--   Gives { 'stale' } | { 'open' } (or it is still to be closed or paid) | { 'ok', 1 if it is listed, entries, entries of segments }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local ends, listed = tonumber(ARGV[3]), redis.call('ZSCORE', KEYS[3], ARGV[4]) and 1 or 0
if period_clock(KEYS[1], clock_us(ARGV[2])) < ends * 1000 then return { 'open' } end
if listed == 1 and closed_until(KEYS[1]) < ends then return { 'open' } end
if redis.call('HEXISTS', KEYS[2], ARGV[5]) == 1 then return { 'open' } end
-- A shard that had nothing of it, and whose clock goes back, takes nothing for it any more.
local floor = tonumber(redis.call('HGET', KEYS[1], 'floor') or '0')
if floor < ends * 1000 then redis.call('HSET', KEYS[1], 'floor', string.format('%.0f', ends * 1000)) end
return { 'ok', listed, redis.call('ZCARD', KEYS[4]), redis.call('ZCARD', KEYS[5]) }
