-- Takes in jobs of another queue. One that has arrived before is not taken twice.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 '', then for each job: id  record
--   Gives { 'stale' } | { 'ok', for each job 1 (it is here) or 0 (its id or unique key is another's) }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local answer = { 'ok' }
for i = 5, #ARGV, 2 do
  local id, job, here = ARGV[i], open(ARGV[i + 1]), 1
  local there = redis.call('HGET', JOBS, id)
  local unique, _, _, key = cmsgpack.unpack(job[TAIL])
  if there then
    local other = open(there)
    local same = other[ENQUEUED_AT] == job[ENQUEUED_AT] and other[TAIL] == job[TAIL]
    if not same or not has(other, CAME) then here = 0 end
  elseif unique and holder_of(unique) then
    here = 0
  else
    if unique then redis.call('HSET', UNIQUE, unique, id) end
    job[TRAITS] = (unique and HAS_UNIQUE or 0) + (keyed and key and HAS_KEY or 0) + CAME
    job[ATTEMPT], job[FINISHED_AT], job[DEADLINE], job[LEASE], job[PLACE] = 0, nil, nil, nil, nil
    job[READY_AT] = now
    enter_line(id, job, 'RPUSH')
    redis.call('HSET', JOBS, id, seal(job))
  end
  answer[#answer + 1] = here
end
wake()
return answer
