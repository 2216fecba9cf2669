-- Looks whether the bans of a leaderboard are counted and listed.
--   KEYS  1 board  2 bans  3 banned
--   ARGV  1 board version  2 ''  3 ''  4 1 to mend  5 the first member, then the others
--   Gives { 'stale' } or { 'ok', 0, then what _check.lua says of each fault }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local count, noted = redis.call('HLEN', KEYS[2]), tonumber(redis.call('HGET', KEYS[1], 'bans') or 0)
if count ~= noted then
  fault('', count .. ' bans are counted as ' .. noted, 'counted anew', function() redis.call('HSET', KEYS[1], 'bans', count) end)
end
for i = 5, #ARGV do
  local member = ARGV[i]
  local kind = string.sub(redis.call('HGET', KEYS[2], member) or '-', 1, 1)
  local listed = redis.call('ZSCORE', KEYS[3], member)
  if kind == '-' and listed then
    fault(member, 'is listed as banned and is not', 'taken from the list', function() redis.call('ZREM', KEYS[3], member) end)
  elseif kind ~= '-' and listed ~= '0' then
    fault(member, 'is banned and not listed so', 'listed', function() redis.call('ZADD', KEYS[3], 0, member) end)
  end
end
return found
