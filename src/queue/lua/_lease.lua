-- Part: how jobs are leased.
local POPS = 200

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
  if key_rate and has(job, HAS_SLOT) then log_lease(key_of(job)) end
  job[STATE], job[ATTEMPT], job[STARTED_AT], job[DEADLINE] = IS_ACTIVE, job[ATTEMPT] + 1, now, now + lease_ms
  job[LEASE], job[WORKER], job[PROGRESS], job[RESULT] = job[ATTEMPT] .. '-' .. lease, worker, nil, nil
  return seal(job)
end

-- Whether what stood in the LIST was of a job that has been removed since.
local function is_ghost(id, priority)
  local field = 'g' .. priority .. id
  if not redis.call('HGET', KEYED, field) then return false end
  if redis.call('HINCRBY', KEYED, field, -1) <= 0 then redis.call('HDEL', KEYED, field) end
  return true
end

-- Gives up to `wanted` jobs as id, record, and so on.
local function lease_jobs(wanted, lease_ms, worker, token)
  local jobs, deadlines, taken, pops = {}, {}, {}, POPS
  local has_ghosts = redis.call('EXISTS', KEYED) == 1
  local bytes = 0
  -- A few first: large ones come in smaller numbers than are wanted, so that no call takes long.
  while #jobs < 2 * wanted and pops > 0 and bytes < 1048576 do
    local open_wants = wanted - #jobs / 2
    local step = #jobs > 0 and bytes < 2048 * #jobs and open_wants or math.min(open_wants, 4)
    local popped = redis.call('LMPOP', 10, KEYS[30], KEYS[29], KEYS[28], KEYS[27], KEYS[26], KEYS[25], KEYS[24], KEYS[23],
      KEYS[22], KEYS[21], 'LEFT', 'COUNT', math.min(step, pops))
    if not popped then break end
    local priority, line = tonumber(string.sub(popped[1], -1)), popped[2]
    local found = redis.call('HMGET', JOBS, unpack(line))
    pops = pops - #line
    for i, id in ipairs(line) do
      local record = found[i]
      local is_turn = string.byte(id) == 1
      if is_turn then
        id = take_turn(string.sub(id, 2), priority, true)
      elseif has_ghosts and is_ghost(id, priority) then
        id, record = nil, nil
      elseif keyed and record then
        id, is_turn = join_line(id, record, priority)
        if not id then record = nil end
      end
      if is_turn then record = id and redis.call('HGET', JOBS, id) end
      local started = record and not taken[id] and start(id, record, priority, lease_ms, worker, token .. #jobs)
      if started then
        taken[id] = true
        bytes = bytes + #started
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
