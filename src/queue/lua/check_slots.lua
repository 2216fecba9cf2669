-- Looks whether the slots of a key that are taken are counted. Where the count has moved since it was read it says nothing.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 settings  4 `mend` to mend  5 key  6 the count as it was read, then the ids of jobs
--         that had a slot
--   Gives { 'ok', then what _check.lua says of each fault }.
local key, held = ARGV[5], 0
local field = 'r' .. key
local counted = redis.call('HGET', KEYED, field) or '0'
if counted ~= ARGV[6] then return found end
for i = 7, #ARGV do
  local job = job_at(ARGV[i])
  if job and job[STATE] <= IS_ACTIVE and has(job, HAS_SLOT) and key_of(job) == key then held = held + 1 end
end
if held ~= tonumber(counted) then
  fault('', 'the key `' .. key .. '` has ' .. held .. ' slots taken and a count of ' .. counted, 'counted anew', function()
    if held == 0 then redis.call('HDEL', KEYED, field) else redis.call('HSET', KEYED, field, held) end
  end)
end
return found
