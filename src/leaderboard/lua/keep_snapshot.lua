-- Keeps a snapshot of one ranking and drops old ones, unless the list of snapshots has changed since it was read.
--   KEYS  1 board  2 snapshots
--   ARGV  1 asked (see _period.lua)  2 list as it was read  3 list as it is to be  4 how often a member was erased by then  5 how many
--         fields go, then these, then the fields that come, each with its value
--   Gives { 'stale' } (also where a member was erased since) | { 'period', now µs } | { 'ok', 1, or 0 where the list has changed }.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
if (redis.call('HGET', KEYS[1], 'erased') or '') ~= ARGV[4] then return { 'stale' } end
if (redis.call('HGET', KEYS[2], 'list') or '') ~= ARGV[2] then return { 'ok', 0 } end
local behind = 6 + ARGV[5]
for i = 6, behind - 1 do redis.call('HDEL', KEYS[2], ARGV[i]) end
for i = behind, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[2], 'list', ARGV[3])
return { 'ok', 1 }
