-- Part: what the clock does: leases run out, waiting jobs expire, scheduled ones become ready, keys get room again.

-- Takes a job from where it waits.
local function leave_line(id, job)
  if job[STATE] == IS_SCHEDULED then
    redis.call('ZREM', SCHEDULED, id)
  elseif has(job, HAS_KEY) and not has(job, HAS_SLOT) then
    redis.call('ZREM', LINES, line_member(key_of(job), job, id))
  else
    -- What stands in a LIST for it is passed over later, even if its id is used anew.
    redis.call('HINCRBY', KEYED, 'g' .. job[PRIORITY] .. id, 1)
    redis.call('HSET', QUEUE, 'odd', 1)
  end
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
    return_turns(key, most)
  end
  count('f', failed)
  return failed, died, cancelled
end
