-- Deletes a leaderboard with all that it holds.
--   KEYS  1 board  2 what is to be freed, then the lists of periods, then every key of rankings without periods
--   ARGV  1 board version, then a stem for each list of periods
--   Gives { 'stale' } or { 'ok' }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
for i = 2, #ARGV do free_periods(KEYS[2], KEYS[i + 1], ARGV[i]) end
for i = #ARGV + 2, #KEYS do redis.call('UNLINK', KEYS[i]) end
tell(redis.call('HGET', KEYS[1], 'watched'), 0)
redis.call('UNLINK', KEYS[1])
return { 'ok' }
