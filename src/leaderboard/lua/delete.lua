-- Deletes a leaderboard with all that it holds.
--   KEYS  1 board, then every key of its rankings
--   ARGV  1 board version
--   Gives { 'stale' } or { 'ok' }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
redis.call('UNLINK', unpack(KEYS))
return { 'ok' }
