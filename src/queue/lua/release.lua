-- Gives leases back as if they had never been: to the front, without counting an attempt.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 '', then for each job: id  lease
--   Gives { 'ok', how many were given back }.
local given_back = 0
-- From the last to the first, so that the first stands in front.
for i = #ARGV - 1, 5, -2 do
  local id, lease = ARGV[i], ARGV[i + 1]
  local record = redis.call('HGET', JOBS, id)
  local job = record and open(record)
  if job and job[STATE] == IS_ACTIVE and job[LEASE] == lease then
    redis.call('ZREM', LEASED, id)
    job[ATTEMPT], job[LEASE], job[DEADLINE], job[WORKER] = job[ATTEMPT] - 1, nil, nil, nil
    if job[ATTEMPT] == 0 then job[STARTED_AT] = nil end
    if has(job, EXPIRES) and job[ATTEMPT] == 0 then
      local _, _, _, _, expires = cmsgpack.unpack(job[TAIL])
      redis.call('ZADD', EXPIRING, job[ENQUEUED_AT] + expires, id)
    end
    if has(job, HAS_UNIQUE) and job[ATTEMPT] == 0 then
      local key, until_what = cmsgpack.unpack(job[TAIL])
      if until_what == 2 then redis.call('HSETNX', UNIQUE, key, id) end
    end
    if key_max ~= 1 or job[ATTEMPT] == 0 then free_slot(job) end
    enter_line(id, job, 'LPUSH')
    redis.call('HSET', JOBS, id, seal(job))
    given_back = given_back + 1
  end
end
wake()
return { 'ok', given_back }
