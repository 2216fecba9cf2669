-- Part: how jobs are leased.
local POPS = 200

-- How many more leases the queue allows now, and after how many ms the next one is free where there is none.
local function room()
  local free, after = 1000, nil
  if max_concurrency then free = math.max(0, max_concurrency - redis.call('ZCARD', LEASED)) end
  if rate_limit then
    local used = redis.call('LLEN', RATE)
    while used > 0 and tonumber(redis.call('LINDEX', RATE, -1)) <= now - rate_per do
      redis.call('RPOP', RATE)
      used = used - 1
    end
    if used >= rate_limit then after = tonumber(redis.call('LINDEX', RATE, rate_limit - 1)) + rate_per - now end
    free = math.min(free, math.max(0, rate_limit - used))
  end
  return free, after
end

-- Puts down the lease of a job. Gives its record, or nil where what stood in the LIST was a job that has gone elsewhere.
local function start(id, record, priority, lease_ms, worker, lease)
  local job = record and open(record)
  if not job or job[STATE] ~= IS_READY or job[PRIORITY] ~= priority then return nil end
  if has(job, HAS_KEY) and not has(job, HAS_SLOT) then job[TRAITS] = job[TRAITS] + HAS_SLOT end
  if job[TRAITS] ~= 0 and job[ATTEMPT] == 0 then
    local key, until_what, _, _, expires = cmsgpack.unpack(job[TAIL])
    local waited = has(job, EXPIRES)
    if waited and job[ENQUEUED_AT] + expires <= now then return finish(id, job, IS_CANCELLED, CANCELLED) end
    if waited then redis.call('ZREM', EXPIRING, id) end
    if until_what == 2 and redis.call('HGET', UNIQUE, key) == id then redis.call('HDEL', UNIQUE, key) end
  end
  job[STATE], job[ATTEMPT], job[STARTED_AT], job[DEADLINE] = IS_ACTIVE, job[ATTEMPT] + 1, now, now + lease_ms
  job[LEASE], job[WORKER], job[PROGRESS], job[RESULT] = job[ATTEMPT] .. '-' .. lease, worker, nil, nil
  return seal(job)
end

-- Gives up to `wanted` jobs as id, record, and so on.
local function lease_jobs(wanted, lease_ms, worker, token)
  local jobs, deadlines, taken, pops = {}, {}, {}, POPS
  while #jobs < 2 * wanted and pops > 0 do
    local popped = redis.call('LMPOP', 10, KEYS[30], KEYS[29], KEYS[28], KEYS[27], KEYS[26], KEYS[25], KEYS[24], KEYS[23],
      KEYS[22], KEYS[21], 'LEFT', 'COUNT', math.min(wanted - #jobs / 2, pops))
    if not popped then break end
    local priority, line = tonumber(string.sub(popped[1], -1)), popped[2]
    local found = redis.call('HMGET', JOBS, unpack(line))
    pops = pops - #line
    for i, id in ipairs(line) do
      local record = found[i]
      if string.byte(id) == 1 then
        id = take_turn(string.sub(id, 2), priority)
        record = id and redis.call('HGET', JOBS, id)
      end
      local started = record and not taken[id] and start(id, record, priority, lease_ms, worker, token .. #jobs)
      if started then
        taken[id] = true
        jobs[#jobs + 1], jobs[#jobs + 2] = id, started
        deadlines[#jobs - 1], deadlines[#jobs] = now + lease_ms, id
      end
    end
  end
  if #jobs > 0 then
    redis.call('HSET', JOBS, unpack(jobs))
    redis.call('ZADD', LEASED, unpack(deadlines))
  end
  return jobs, pops <= 0
end
