-- Part: how jobs come in.
local LONGEST_MS = 315360000000

-- Whether the lock that stands still holds: its job waits or runs, or its time is not over.
local function holder_of(key)
  local id = redis.call('HGET', UNIQUE, key)
  local record = id and redis.call('HGET', JOBS, id)
  if not record then return nil end
  local job = open(record)
  local held, until_what, lasts = cmsgpack.unpack(job[TAIL])
  if held ~= key then return nil end
  if lasts and lock_ends(job) <= now then return nil end
  if until_what == 3 then return id, record, job end
  if job[STATE] >= IS_COMPLETED or (until_what == 2 and job[ATTEMPT] > 0) then return nil end
  return id, record, job
end

local function remove_waiting(id, job)
  leave_line(id, job)
  free_slot(job)
  if has(job, EXPIRES) then redis.call('ZREM', EXPIRING, id) end
  redis.call('HDEL', JOBS, id)
  finished[#finished + 1] = id
end

-- What the options of a job (packed by the service) ask for beyond the plain: gives a duplicate's id and record, or the time to
-- run at and the traits, or at last that the time is too late.
local function look_at_options(id, options)
  local given, delay, run_at, unique, replace, key, expires = cmsgpack.unpack(options)
  local there = redis.call('HGET', JOBS, id)
  if there then return given and id or '', there end
  if run_at and run_at > now + LONGEST_MS then return nil, nil, nil, nil, true end
  local traits = 0
  if unique then
    local holder, record, job = holder_of(unique)
    if holder and not (replace and job[STATE] <= IS_READY) then return holder, record end
    if holder then remove_waiting(holder, job) end
    redis.call('HSET', UNIQUE, unique, id)
    traits = HAS_UNIQUE
  end
  if keyed and key then traits = traits + HAS_KEY end
  if expires then
    traits = traits + EXPIRES
    redis.call('ZADD', EXPIRING, now + expires, id)
  end
  if delay then run_at = soonest + delay end
  return nil, nil, run_at and run_at > now and run_at or nil, traits
end

-- Adds a job: gives what the answer has for it. A plain job's id is new by construction; that of one that is there already means
-- that it must be made again.
local function add(id, priority, max_attempts, tail, options)
  local duplicate, record, run_at, traits, late = nil, nil, nil, 0, false
  if options ~= '' then
    duplicate, record, run_at, traits, late = look_at_options(id, options)
    if duplicate then return { 'duplicate', duplicate, record } end
    if late then return { 'late' } end
  elseif redis.call('HEXISTS', JOBS, id) == 1 then
    return { 'duplicate', '', '' }
  end
  local job = { 0, IS_SCHEDULED, priority, 0, max_attempts, now }
  job[TRAITS], job[TAIL] = traits, tail
  if run_at then
    job[RUN_AT] = run_at
    redis.call('ZADD', SCHEDULED, run_at, id)
  else
    enter_line(id, job, 'RPUSH')
  end
  redis.call('HSET', JOBS, id, seal(job))
  return { 'added', run_at or 0, id }
end
