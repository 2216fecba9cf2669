-- Settles leases and leases jobs of a queue without limits and keys: the same as dequeue.lua does, at a third of the cost. Before
-- it changes anything it looks whether all that it meets is plain, and leaves the rest to that.
--   KEYS  1 queue  2 jobs  3 scheduled  4 leased  5 completed  6 expiring  7 stats  8 waiters  9 watchers  10 workers, then the ready
--         LISTs, priority 9 first
--   ARGV  1 now µs ('' = server time)  2 version  3 name of the queue  4 channel  5 retention ms  6 number of acks  7 number of
--         callers, then for each ack: id  lease  result ('' = none)  1 if its record is wanted; then for each caller: limit  lease ms
--         worker ('' = none)  1 to note it  1 to be woken  lease token
--   Gives { 'stale' } | { 'slow' } (it is for dequeue.lua) | { 'ok', { ms that it ran, record, and so on for each ack },
--   { id, record, and so on for each job }, how many jobs each caller has }.
local queue = redis.call('HMGET', KEYS[1], 'version', 'paused', 'odd')
if queue[1] ~= ARGV[2] then return { 'stale' } end
if queue[3] then return { 'slow' } end
local now
if ARGV[1] ~= '' then
  now = math.floor(ARGV[1] / 1000)
else
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local acks, callers, retention = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[5])
local done, ids, settled = plain_acks(acks, now)
if not done then return { 'slow' } end
local from, wanted, waits = 8 + 4 * acks, 0, false
for i = from, #ARGV, 6 do
  wanted, waits = wanted + ARGV[i], waits or ARGV[i + 4] == '1'
end
if wanted > 0 then
  for i = 3, 6 do
    if i ~= 5 and redis.call('ZRANGEBYSCORE', KEYS[i], '-inf', now, 'LIMIT', 0, 1)[1] then return { 'slow' } end
  end
end
local taken, records = {}, {}
if wanted > 0 and queue[2] ~= '1' and not take_plain(wanted, taken, records) then return { 'slow' } end
if acks > 0 then store_acks(done, ids, now, retention) end
local jobs, counts, deadlines, next_job = {}, {}, {}, 1
for i = from, #ARGV, 6 do
  local lease_ms, worker, token, first = tonumber(ARGV[i + 1]), ARGV[i + 2], ARGV[i + 5], next_job
  if ARGV[i + 3] == '1' then redis.call('ZADD', KEYS[10], now, worker) end
  while taken[next_job] and next_job - first < tonumber(ARGV[i]) do
    local id = taken[next_job]
    jobs[2 * next_job - 1] = id
    jobs[2 * next_job] = leased(records[next_job], now, lease_ms, worker ~= '' and worker or nil, token .. (next_job - first))
    deadlines[2 * next_job - 1], deadlines[2 * next_job] = now + lease_ms, id
    next_job = next_job + 1
  end
  counts[#counts + 1] = next_job - first
end
if #jobs > 0 then
  redis.call('HSET', KEYS[2], unpack(jobs))
  redis.call('ZADD', KEYS[4], unpack(deadlines))
end
if waits and #jobs < 2 * wanted then redis.call('SET', KEYS[8], 1, 'PX', 35000) end
return { 'ok', settled, jobs, counts }
