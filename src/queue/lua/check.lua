-- Looks whether jobs are in exactly one place.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 settings  4 `search` to search LISTs, `mend` to mend as well, then ids
--   Gives { 'ok', then what _check.lua says of each fault }.
local places = { [IS_SCHEDULED] = SCHEDULED, [IS_ACTIVE] = LEASED, [IS_COMPLETED] = COMPLETED, [IS_DEAD] = DEAD,
  [IS_CANCELLED] = CANCELLED }
local times = { [IS_SCHEDULED] = RUN_AT, [IS_ACTIVE] = DEADLINE, [IS_COMPLETED] = FINISHED_AT, [IS_DEAD] = FINISHED_AT,
  [IS_CANCELLED] = FINISHED_AT }
local names = { 'scheduled', 'ready', 'leased', 'completed', 'dead', 'cancelled' }

local function check_places(id, job)
  for state, set in pairs(places) do
    local score, belongs = redis.call('ZSCORE', set, id), job and job[STATE] == state
    local put = function() redis.call('ZADD', set, job[times[state]] or now, id) end
    if score and not belongs then
      fault(id, 'stands in ' .. names[state] .. ' and is not', 'taken out', function() redis.call('ZREM', set, id) end)
    elseif belongs and not score then
      fault(id, 'is ' .. names[state] .. ' and does not stand there', 'put there', put)
    elseif belongs and state == IS_ACTIVE and tonumber(score) ~= job[DEADLINE] then
      fault(id, 'has two deadlines', 'that of its record holds', put)
    end
  end
end

local function check_ready(id, job)
  local list = KEYS[READY + job[PRIORITY]]
  if has(job, HAS_KEY) and not has(job, HAS_SLOT) then
    if job[PLACE] and redis.call('ZSCORE', LINES, line_member(key_of(job), job, id)) == '0' then return end
    fault(id, 'is ready and not in the line of its key', 'put there', function()
      job[PLACE] = job[PLACE] or place_of(job[READY_AT] or job[ENQUEUED_AT])
      redis.call('ZADD', LINES, 0, line_member(key_of(job), job, id))
      redis.call('HSET', JOBS, id, seal(job))
      redis.call('HSET', QUEUE, 'odd', 1)
    end)
  elseif not redis.call('ZSCORE', PARKED, '\1' .. job[PRIORITY] .. id) and not (ARGV[4] ~= '' and redis.call('LPOS', list, id)) then
    fault(id, 'is ready and in no LIST', 'put at the end of its own', function() redis.call('RPUSH', list, id) end)
  end
end

local function check_job(id, job)
  local key, until_what, lasts, _, expires = cmsgpack.unpack(job[TAIL])
  if has(job, EXPIRES) and job[ATTEMPT] == 0 and job[STATE] <= IS_READY and not redis.call('ZSCORE', EXPIRING, id) then
    fault(id, 'does not expire as it should', 'does so', function() redis.call('ZADD', EXPIRING, job[ENQUEUED_AT] + expires, id) end)
  end
  if job[STATE] > IS_ACTIVE and has(job, HAS_SLOT) then
    fault(id, 'has ended and holds a slot of its key', 'given up', function()
      job[TRAITS] = job[TRAITS] - HAS_SLOT
      redis.call('HSET', JOBS, id, seal(job))
    end)
  end
  local locks = has(job, HAS_UNIQUE) and job[STATE] <= IS_ACTIVE and until_what == 1 and not lasts
  if locks and not redis.call('HGET', UNIQUE, key) then
    fault(id, 'has lost its unique key', 'has it again', function() redis.call('HSET', UNIQUE, key, id) end)
  end
end

for i = 5, #ARGV do
  local id, job = ARGV[i], job_at(ARGV[i])
  check_places(id, job)
  if job and job[STATE] == IS_READY then check_ready(id, job) end
  if job then check_job(id, job) else check_absent(id) end
end
return found
