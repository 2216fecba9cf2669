-- Part: what a check has found, as what it is about, what is wrong, and what was done; where ARGV[4] is `mend` it is mended.
local found = { 'ok' }

local function fault(about, wrong, done, mend)
  local at, mends = #found, ARGV[4] == 'mend'
  found[at + 1], found[at + 2], found[at + 3] = about, wrong, mends and done or ''
  if mends then mend() end
end

-- The job of an id; nil where there is no record, or none that can be read.
local function job_at(id)
  local record = redis.call('HGET', JOBS, id)
  if not record then return nil end
  local readable, job = pcall(open, record)
  local state = readable and tonumber(job[STATE])
  if state and state >= IS_SCHEDULED and state <= IS_CANCELLED and tonumber(job[TRAITS]) then return job end
  fault(id, 'has a record that cannot be read', 'removed', function() redis.call('HDEL', JOBS, id) end)
  return nil
end

local function check_absent(id)
  if redis.call('ZSCORE', EXPIRING, id) then
    fault(id, 'expires and has no record', 'forgotten', function() redis.call('ZREM', EXPIRING, id) end)
  end
  if redis.call('HEXISTS', OUTBOX, id) == 1 then
    fault(id, 'is on its way to another queue and has no record', 'forgotten', function() redis.call('HDEL', OUTBOX, id) end)
  end
end
