-- Tells a leaderboard that has seen no service-wide bans yet which ones are known.
--   KEYS  1 board
--   ARGV  1 board version  2 version of the service-wide bans, read since the leaderboard is there
--   Gives { 'stale' } or { 'ok' }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
redis.call('HSETNX', KEYS[1], 'bans_seen', ARGV[2])
return { 'ok' }
