-- Part: what the clock does: leases run out, waiting jobs expire, scheduled ones become ready, keys get room again.

-- Deletes the log of a key whose last lease is long enough ago.
local function forget_log(key)
  local times = cmsgpack.unpack(redis.call('HGET', KEYED, 'l' .. key) or '\144')
  local ends = #times > 0 and key_per and times[#times] + key_per or 0
  if ends <= now then redis.call('HDEL', KEYED, 'l' .. key) else redis.call('ZADD', PARKED, ends, '\2' .. key) end
end

-- Up to `most` of each. Gives counts of jobs that failed, died, and were cancelled.
local function apply_due(most)
  local failed, died, cancelled = 0, 0, 0
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LEASED, '-inf', now, 'LIMIT', 0, most)) do
    local job = open(redis.call('HGET', JOBS, id))
    redis.call('ZREM', LEASED, id)
    fail(id, job, job[DEADLINE], 'the lease ran out', false, function()
      job[READY_AT] = now
      enter_line(id, job, 'RPUSH')
    end)
    failed = failed + 1
    if job[STATE] == IS_DEAD then died = died + 1 end
    if max_concurrency then pushed = pushed + 1 end
  end
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', EXPIRING, '-inf', now, 'LIMIT', 0, most)) do
    local job = open(redis.call('HGET', JOBS, id))
    leave_line(id, job)
    finish(id, job, IS_CANCELLED, CANCELLED)
    cancelled = cancelled + 1
  end
  local due = redis.call('ZRANGEBYSCORE', SCHEDULED, '-inf', now, 'LIMIT', 0, most)
  if #due > 0 then
    redis.call('ZREM', SCHEDULED, unpack(due))
    for _, id in ipairs(due) do
      local job = open(redis.call('HGET', JOBS, id))
      job[READY_AT] = now
      enter_line(id, job, 'RPUSH')
      redis.call('HSET', JOBS, id, seal(job))
    end
  end
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', PARKED, '-inf', now, 'LIMIT', 0, most)) do
    redis.call('ZREM', PARKED, key)
    local kind = string.byte(key)
    if kind == 1 then
      redis.call('LPUSH', KEYS[READY + string.sub(key, 2, 2)], string.sub(key, 3))
      pushed = pushed + 1
    elseif kind == 2 then
      forget_log(string.sub(key, 2))
    else
      return_turns(key, most)
    end
  end
  count('f', failed)
  return failed, died, cancelled
end
