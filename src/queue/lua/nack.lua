-- Fails the attempt of a leased job.
--   KEYS  1 to 30 the keys of the queue  31 idempotency record, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint ('' = none)  5 id  6 lease  7 delay ms of the next
--         attempt ('' = dead at once)  8 error
--   Gives { 'stale' } | { 'mismatch' } | { 'ok' or 'replayed', 200 | 404 | 409, record, 1 if it has died }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local first = answer_again()
if first then return first end
local id = ARGV[5]
local record = redis.call('HGET', JOBS, id)
if not record then return { 'ok', 404, '', 0 } end
local job = open(record)
if job[LEASE] ~= ARGV[6] or job[STATE] ~= IS_ACTIVE or job[DEADLINE] <= now then return { 'ok', 409, '', 0 } end
redis.call('ZREM', LEASED, id)
if max_concurrency then pushed = pushed + 1 end
fail(id, job, now, ARGV[8], ARGV[7] == '', function()
  job[STATE], job[RUN_AT], job[DEADLINE] = IS_SCHEDULED, soonest + ARGV[7], nil
  redis.call('ZADD', SCHEDULED, job[RUN_AT], id)
  if job[RUN_AT] <= now then pushed = pushed + 1 end
end)
count('f', 1)
tell_watchers()
wake()
return keep_answer({ 'ok', 200, seal(job), job[STATE] == IS_DEAD and 1 or 0 })
