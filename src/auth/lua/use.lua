-- Notes when tokens were last used; one that is gone does not come back.
--   KEYS  the tokens
--   ARGV  for each token the time in ms
--   Gives how many are there.
local noted = 0
for i = 1, #KEYS do
  local used = redis.call('HMGET', KEYS[i], 'digest', 'used')
  if used[1] then
    noted = noted + 1
    if not used[2] or tonumber(used[2]) < tonumber(ARGV[i]) then redis.call('HSET', KEYS[i], 'used', ARGV[i]) end
  end
end
return noted
