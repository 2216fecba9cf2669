-- Looks whether keys have turns for the jobs that wait in their lines, and whether these are counted.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 settings  4 `mend` to mend, then for each line: priority  key
--   Gives { 'ok', then what _check.lua says of each fault }.

-- Whether a turn of a key will come up, or one of its jobs end, so that those that are held back come back after it.
local function goes_on(key)
  for priority = 0, 9 do
    if redis.call('HGET', KEYED, 'n' .. priority .. key) then return true end
  end
  return redis.call('HGET', KEYED, 'r' .. key) or redis.call('ZSCORE', PARKED, key)
end

for i = 5, #ARGV, 2 do
  local priority, key = tonumber(ARGV[i]), ARGV[i + 1]
  local from, counts, owes = key .. '\0' .. (9 - priority), 'n' .. priority .. key, 'o' .. priority .. key
  local waiting = redis.call('ZLEXCOUNT', LINES, '[' .. from, '(' .. from .. ':')
  local turns = #redis.call('LPOS', KEYS[READY + priority], '\1' .. key, 'COUNT', 0)
  local kept = redis.call('HMGET', KEYED, counts, owes)
  local counted, owed = tonumber(kept[1] or 0), tonumber(kept[2] or 0)
  local line = 'the key `' .. key .. '` in priority ' .. priority
  if counted ~= turns then
    fault('', line .. ' has ' .. turns .. ' turns and a count of ' .. counted, 'counted anew', function()
      if turns == 0 then redis.call('HDEL', KEYED, counts) else redis.call('HSET', KEYED, counts, turns) end
    end)
  end
  if owed > 0 and not goes_on(key) then
    fault('', line .. ' has turns that nobody gives back', 'given back', function()
      redis.call('HDEL', KEYED, owes)
      for _ = 1, owed do push_turn(key, priority, 'LPUSH') end
      turns = turns + owed
    end)
    owed = ARGV[4] == 'mend' and 0 or owed
  end
  local missing = (fair and math.min(waiting, 1) or waiting) - turns - owed
  if missing > 0 then
    fault('', line .. ' has ' .. waiting .. ' jobs that wait and ' .. (turns + owed) .. ' turns', 'put down', function()
      for _ = 1, missing do push_turn(key, priority, 'RPUSH') end
      redis.call('HSET', QUEUE, 'odd', 1)
    end)
  end
end
return found
