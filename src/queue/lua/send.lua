-- Marks dead jobs as on their way to another queue. They stay dead until they have arrived.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 target  6 how many  7 how many of the oldest to pass over
--   Gives { 'stale' } | { 'ok', for each job: id, record }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local answer = { 'ok' }
for _, id in ipairs(redis.call('ZRANGE', DEAD, ARGV[7], ARGV[7] + ARGV[6] - 1)) do
  local target = redis.call('HGET', OUTBOX, id)
  if not target or string.match(target, '^%S+') == ARGV[5] then
    redis.call('HSET', OUTBOX, id, ARGV[5] .. ' ' .. now)
    answer[#answer + 1] = id
    answer[#answer + 1] = redis.call('HGET', JOBS, id)
  end
end
return answer
