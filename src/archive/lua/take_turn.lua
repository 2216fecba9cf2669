-- Takes a turn at the archive, or keeps it.
--   KEYS  1 whose turn it is
--   ARGV  1 who asks  2 for how many ms
--   Gives { 1 if it has the turn }.
local whose = redis.call('GET', KEYS[1])
if whose and whose ~= ARGV[1] then return { 0 } end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return { 1 }
