-- Notes until when somebody watches a leaderboard, so that what changes it tells so.
--   KEYS  1 board
--   ARGV  1 now µs ('' = server time)  2 for how long, in µs  3 channel  4 message
--   Gives { 'absent' } | { 'ok' }.
-- A leaderboard that was deleted meanwhile must not come back as a field of its own.
if redis.call('EXISTS', KEYS[1]) == 0 then return { 'absent' } end
local till = clock_us(ARGV[1]) + tonumber(ARGV[2])
redis.call('HSET', KEYS[1], 'watched', string.format('%.0f %s %s', till, ARGV[3], ARGV[4]))
return { 'ok' }
