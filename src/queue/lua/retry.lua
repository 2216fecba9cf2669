-- Makes a dead or scheduled job ready now.
--   KEYS  1 to 30 the keys of the queue  31 idempotency record, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint ('' = none)  5 id
--   Gives { 'stale' } | { 'mismatch' } | { 'ok' or 'replayed', 200 | 404 | 409, record }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local first = answer_again()
if first then return first end
local id = ARGV[5]
local record = redis.call('HGET', JOBS, id)
if not record then return { 'ok', 404, '' } end
local job = open(record)
if (job[STATE] ~= IS_DEAD and job[STATE] ~= IS_SCHEDULED) or not make_ready(id, job) then return { 'ok', 409, '' } end
wake()
return keep_answer({ 'ok', 200, seal(job) })
