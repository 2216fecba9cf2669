-- Cancels a job that is not completed. A worker that holds it loses its lease.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 ''  5 id
--   Gives { 'stale' } | { 'ok', 200 | 404 | 409 }.
if redis.call('HGET', QUEUE, 'version') ~= ARGV[2] then return { 'stale' } end
local id = ARGV[5]
local record = redis.call('HGET', JOBS, id)
if not record then return { 'ok', 404 } end
local job = open(record)
if job[STATE] == IS_CANCELLED then return { 'ok', 200 } end
if job[STATE] == IS_COMPLETED or redis.call('HEXISTS', OUTBOX, id) == 1 then return { 'ok', 409 } end
if job[STATE] == IS_ACTIVE then
  redis.call('ZREM', LEASED, id)
  if max_concurrency then pushed = pushed + 1 end
elseif job[STATE] == IS_DEAD then
  redis.call('ZREM', DEAD, id)
else
  leave_line(id, job)
end
finish(id, job, IS_CANCELLED, CANCELLED)
tell_watchers()
wake()
return { 'ok', 200 }
