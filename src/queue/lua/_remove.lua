-- Part: jobs that go for good.

-- Deletes a job that has been taken from where it was, and its lock.
local function forget(id, job)
  if has(job, HAS_UNIQUE) then
    local key = cmsgpack.unpack(job[TAIL])
    if redis.call('HGET', UNIQUE, key) == id then redis.call('HDEL', UNIQUE, key) end
  end
  free_slot(job)
  if has(job, EXPIRES) and job[ATTEMPT] == 0 then redis.call('ZREM', EXPIRING, id) end
  if archive_most then redis.call('ZREM', UNARCHIVED, id) end
  redis.call('HDEL', JOBS, id)
  finished[#finished + 1] = id
end

local function remove_from(set, ids)
  for _, id in ipairs(ids) do
    forget(id, open(redis.call('HGET', JOBS, id)))
    redis.call('ZREM', set, id)
  end
  return #ids
end

-- Removes what is older than `kept_ms`, then the oldest beyond `keep`: gives how many for each reason. A job whose key is locked
-- for a time stays as long, and so does what finished at `stays_from` or later.
local function retain(set, kept_ms, keep, most, stays_from)
  local upto = math.min(now - kept_ms, stays_from - 1)
  local old = remove_from(set, redis.call('ZRANGEBYSCORE', set, '-inf', upto, 'LIMIT', 0, most))
  local beyond = {}
  local over = keep and math.min(most, redis.call('ZCARD', set) - keep) or 0
  if over > 0 then
    for _, id in ipairs(redis.call('ZRANGE', set, 0, over - 1)) do
      local job = open(redis.call('HGET', JOBS, id))
      local _, until_what = cmsgpack.unpack(job[TAIL])
      local is_locked = until_what == 3 and lock_ends(job) > now
      if not is_locked and job[FINISHED_AT] < stays_from then beyond[#beyond + 1] = id end
    end
  end
  return old, remove_from(set, beyond)
end
