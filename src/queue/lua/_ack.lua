-- Part: jobs that are done.
local completed = 0

-- Completes a job for its current lease: { status, record, ms that the attempt ran or -1 }. The same again changes nothing.
local function ack(id, lease, result, full)
  local record = redis.call('HGET', JOBS, id)
  if not record then return { 404, '', -1 } end
  local job = open(record)
  if job[LEASE] == lease and job[STATE] == IS_COMPLETED then return { 200, full and record or '', -1 } end
  if job[LEASE] ~= lease or job[STATE] ~= IS_ACTIVE or job[DEADLINE] <= now then return { 409, '', -1 } end
  redis.call('ZREM', LEASED, id)
  if result ~= '' then job[RESULT] = result end
  finish(id, job, IS_COMPLETED, COMPLETED)
  completed = completed + 1
  if max_concurrency then pushed = pushed + 1 end
  return { 200, full and seal(job) or '', now - job[STARTED_AT] }
end
