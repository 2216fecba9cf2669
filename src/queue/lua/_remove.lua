-- Part: jobs that go for good.

-- Deletes a job that has been taken from where it was, and its lock.
local function forget(id, job)
  if has(job, HAS_UNIQUE) then
    local key = cmsgpack.unpack(job[TAIL])
    if redis.call('HGET', UNIQUE, key) == id then redis.call('HDEL', UNIQUE, key) end
  end
  free_slot(job)
  if has(job, EXPIRES) and job[ATTEMPT] == 0 then redis.call('ZREM', EXPIRING, id) end
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
-- for a time stays as long.
local function retain(set, kept_ms, keep, most)
  local old = remove_from(set, redis.call('ZRANGEBYSCORE', set, '-inf', now - kept_ms, 'LIMIT', 0, most))
  local beyond = {}
  local over = keep and math.min(most, redis.call('ZCARD', set) - keep) or 0
  if over > 0 then
    for _, id in ipairs(redis.call('ZRANGE', set, 0, over - 1)) do
      local job = open(redis.call('HGET', JOBS, id))
      local _, until_what = cmsgpack.unpack(job[TAIL])
      if until_what ~= 3 or lock_ends(job) <= now then beyond[#beyond + 1] = id end
    end
  end
  return old, remove_from(set, beyond)
end
