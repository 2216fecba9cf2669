-- Lets keys that are owed turns look for room again, after their limits have changed.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 settings  4 ''  5 cursor of the scan
--   Gives { 'ok', next cursor }.
local scanned = redis.call('HSCAN', KEYED, ARGV[5], 'MATCH', 'o*', 'COUNT', 200)
for i = 1, #scanned[2], 2 do redis.call('ZADD', PARKED, now, string.sub(scanned[2][i], 3)) end
return { 'ok', scanned[1] }
