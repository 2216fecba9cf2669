-- Ends a token.
--   KEYS  1 token  2 ids  3 ends  4 changes  5 version of the changes
--   ARGV  1 id  2 channel
--   Gives 1, or 0 where there is no such token.
if redis.call('DEL', KEYS[1]) == 0 then return 0 end
redis.call('ZREM', KEYS[2], ARGV[1])
redis.call('ZREM', KEYS[3], ARGV[1])
note_change(KEYS[4], KEYS[5], ARGV[1], ARGV[2])
return 1
