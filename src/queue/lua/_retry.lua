-- Part: jobs that get ready by hand.

-- Makes a dead or scheduled job ready; a dead one has all its attempts again. Gives false where its unique key is another's now,
-- or where it is being moved.
local function make_ready(id, job)
  if job[STATE] == IS_DEAD then
    if redis.call('HEXISTS', OUTBOX, id) == 1 then return false end
    if has(job, HAS_UNIQUE) then
      local key = cmsgpack.unpack(job[TAIL])
      local holder = holder_of(key)
      if holder and holder ~= id then return false end
      redis.call('HSET', UNIQUE, key, id)
    end
    redis.call('ZREM', DEAD, id)
    if archive_most then redis.call('ZREM', UNARCHIVED, id) end
    job[ATTEMPT], job[FINISHED_AT], job[DEADLINE], job[LEASE] = 0, nil, nil, nil
    if has(job, EXPIRES) then job[TRAITS] = job[TRAITS] - EXPIRES end
  else
    redis.call('ZREM', SCHEDULED, id)
  end
  job[READY_AT] = now
  enter_line(id, job, 'RPUSH')
  redis.call('HSET', JOBS, id, seal(job))
  return true
end
