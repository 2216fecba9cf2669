-- Begins a redrive that counts once, or takes it up where it was cut off.
--   KEYS  1 to 30 the keys of the queue  31 record of the progress
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint  5 1 if it has ended
--   Gives { 'mismatch' } | { 'ok', moved, stayed, 1 if it had ended before }.
local kept = redis.call('HMGET', KEYS[31], 'fingerprint', 'moved', 'stayed', 'ended')
if kept[1] and kept[1] ~= ARGV[4] then return { 'mismatch' } end
redis.call('HSET', KEYS[31], 'fingerprint', ARGV[4])
if ARGV[5] == '1' then redis.call('HSET', KEYS[31], 'ended', 1) end
redis.call('PEXPIRE', KEYS[31], 24 * 3600 * 1000)
return { 'ok', tonumber(kept[2] or 0), tonumber(kept[3] or 0), tonumber(kept[4] or 0) }
