-- Adds plain jobs: ready at once, without anything that is looked up. The same as enqueue.lua does, at a third of the cost.
--   KEYS  1 queue  2 jobs  3 stats  4 waiters, then the ready LISTs of the priorities that occur
--   ARGV  1 now µs ('' = server time)  2 version  3 name of the queue  4 channel, then for each job: number of the KEY of its LIST
--         priority  id  max attempts  tail
--   Gives { 'stale' } | { 'ok', now ms, for each job 1, or 0 where its id is taken }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[2] then return { 'stale' } end
local now
if ARGV[1] ~= '' then
  now = math.floor(ARGV[1] / 1000)
else
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local answer, lines, heads, added = { 'ok', now }, {}, {}, 0
for i = 5, #ARGV, 5 do
  local list, priority, id, max_attempts = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
  local same = priority .. max_attempts
  local head = heads[same]
  if not head then
    -- As lua/_job.lua has it: state, priority, attempt, max attempts, enqueued at, ten of which nothing is known, traits, place.
    head = cmsgpack.pack(2, tonumber(priority), 0, tonumber(max_attempts), now, nil, nil, nil, nil, nil, nil, nil, nil, nil,
      nil, 0, nil)
    heads[same] = head
  end
  if redis.call('HSETNX', KEYS[2], id, head .. ARGV[i + 4]) == 1 then
    added = added + 1
    answer[#answer + 1] = 1
    local line = lines[list]
    if line then line[#line + 1] = id else lines[list] = { id } end
  else
    answer[#answer + 1] = 0
  end
end
for list, ids in pairs(lines) do redis.call('RPUSH', KEYS[list], unpack(ids)) end
redis.call('HINCRBY', KEYS[3], 'e' .. math.floor(now / 10000), added)
if redis.call('EXISTS', KEYS[4]) == 1 then redis.call('PUBLISH', ARGV[4], 'ready ' .. added .. ' ' .. ARGV[3]) end
return answer
