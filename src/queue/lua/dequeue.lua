-- Settles leases and leases jobs, for several callers at once.
--   KEYS  1 to 30 the keys of the queue  31 idempotency record, where there is a fingerprint
--   ARGV  1 now µs ('' = server time)  2 version  3 settings  4 fingerprint ('' = none), then for each caller: limit  lease ms
--         worker ('' = none)  1 to note the worker  1 to be woken  lease token  number of acks  1 for their records, and for each
--         ack: id  lease  result ('' = none)
--   Gives { 'stale' } | { 'mismatch' } | { 'ok' or 'replayed', now ms, completed, failed, died, for each caller { acks, jobs, ms after which
--   there is room or -1 } }, where acks are { status, record, ms that the attempt ran or -1 }, and jobs are id, record, and so on.
local state = redis.call('HMGET', QUEUE, 'version', 'paused', 'odd')
if state[1] ~= ARGV[2] then return { 'stale' } end
local first = answer_again()
if first then return first end
if state[3] and redis.call('EXISTS', KEYED) == 0 then redis.call('HDEL', QUEUE, 'odd') end

local answer, due, at, failed, died, changed = { 'ok', now, 0, 0, 0 }, false, 5, 0, 0, false
while at <= #ARGV do
  local limit, lease_ms, worker, acks = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), ARGV[at + 2], tonumber(ARGV[at + 6])
  local note, waits, token, full = ARGV[at + 3] == '1', ARGV[at + 4] == '1', ARGV[at + 5], ARGV[at + 7] == '1'
  local settled, jobs, after, more = {}, {}, -1, false
  at = at + 8
  for i = 1, acks do settled[i] = ack(ARGV[at], ARGV[at + 1], ARGV[at + 2], full); at = at + 3 end
  if note then redis.call('ZADD', WORKERS, now, worker) end
  if limit > 0 then
    if not due then
      due = true
      failed, died = apply_due(50)
    end
    put_returned()
    local free, free_after = room()
    if state[2] == '1' then free = 0 end
    if free > 0 then jobs, more = lease_jobs(math.min(limit, free), lease_ms, worker ~= '' and worker or nil, token) end
    if rate_limit then for _ = 1, #jobs / 2 do redis.call('LPUSH', RATE, now) end end
    pushed = math.max(0, pushed - #jobs / 2)
    after = more and 0 or free_after or -1
    if waits and #jobs == 0 then redis.call('SET', WAITERS, 1, 'PX', 35000) end
  end
  answer[#answer + 1] = { settled, jobs, after }
  changed = changed or acks > 0 or #jobs > 0
end
answer[3], answer[4], answer[5] = completed, failed, died
count('c', completed)
tell_watchers()
wake()
if not changed then return answer end
return keep_answer(answer)
