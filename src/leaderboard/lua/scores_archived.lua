-- Takes out of an outbox what has been archived, and tells what is left.
--   KEYS  1 whose it is (a board, or the state of service-wide bans)  2 outbox
--   ARGV  1 id of the first entry that stays
--   Gives { 'ok', rows that were dropped since the last time, entries that are left, ms since the oldest of them came, 1 if whose
--   it is is there }.
redis.call('XTRIM', KEYS[2], 'MINID', ARGV[1])
local dropped, is_there = tonumber(redis.call('HGET', KEYS[1], 'dropped') or 0), redis.call('EXISTS', KEYS[1])
if dropped > 0 then redis.call('HDEL', KEYS[1], 'dropped') end
local left, age = outbox_left(KEYS[2])
if left == 0 and is_there == 0 then redis.call('UNLINK', KEYS[2]) end
return { 'ok', dropped, left, age, is_there }
