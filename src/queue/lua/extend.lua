-- Moves the deadline of a lease, and notes the progress.
--   KEYS  1 to 30 the keys of the queue  31 idempotency record, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint ('' = none)  5 id  6 lease  7 lease ms
--         8 progress ('' = none)
--   Gives { 'stale' } | { 'mismatch' } | { 'ok' or 'replayed', 200 | 404 | 409, deadline, 1 if it has been cancelled }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local first = answer_again()
if first then return first end
local id = ARGV[5]
local record = redis.call('HGET', JOBS, id)
if not record then return { 'ok', 404, 0, 0 } end
local job = open(record)
if job[LEASE] ~= ARGV[6] then return { 'ok', 409, 0, 0 } end
if job[STATE] == IS_CANCELLED then return { 'ok', 200, job[DEADLINE] or now, 1 } end
if job[STATE] ~= IS_ACTIVE or job[DEADLINE] <= now then return { 'ok', 409, 0, 0 } end
job[DEADLINE] = now + ARGV[7]
if ARGV[8] ~= '' then job[PROGRESS] = ARGV[8] end
redis.call('ZADD', LEASED, job[DEADLINE], id)
redis.call('HSET', JOBS, id, seal(job))
if job[WORKER] then redis.call('ZADD', WORKERS, now, job[WORKER]) end
return keep_answer({ 'ok', 200, job[DEADLINE], 0 })
