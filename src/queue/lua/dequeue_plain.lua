-- Settles leases and leases jobs of a queue without limits and keys: the same as dequeue.lua does, at a third of the cost. Before
-- it changes anything it looks whether all that it meets is plain, and leaves the rest to that.
--   KEYS  1 queue  2 jobs  3 scheduled  4 leased  5 completed  6 expiring  7 stats  8 waiters  9 watchers  10 workers, then the ready
--         LISTs, priority 9 first; with an archive at last its outbox, and what waits for room there
--   ARGV  1 now µs ('' = server time)  2 version  3 name of the queue  4 channel  5 retention ms  6 number of acks  7 number of
--         callers  8 room of the archive's outbox ('' = no archive)  9 1 if the oldest there makes room, then for each ack: id  lease
--         result ('' = none)  1 if its record is wanted; then for each caller: limit  lease ms  worker ('' = none)  1 to note it
--         1 to be woken  lease token
--   Gives { 'stale' } | { 'slow' } (it is for dequeue.lua) | { 'ok', { ms that it ran, record, and so on for each ack },
--   { id, record, and so on for each job }, how many jobs each caller has }.
local queue = call('HMGET', KEYS[1], 'version', 'paused', 'odd')
if queue[1] ~= ARGV[2] then return { 'stale' } end
if queue[3] then return { 'slow' } end
local now
if ARGV[1] ~= '' then
  now = math.floor(ARGV[1] / 1000)
else
  local time = call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
local acks, callers, retention = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[5])
local done, ids, settled = plain_acks(acks, now)
if not done then return { 'slow' } end
local from, wanted, waits = 10 + 4 * acks, 0, false
for i = from, #ARGV, 6 do
  wanted, waits = wanted + ARGV[i], waits or ARGV[i + 4] == '1'
end
if wanted > 0 then
  local due = string.format('%.0f', now)
  for i = 3, 6 do
    if i ~= 5 and call('ZRANGEBYSCORE', KEYS[i], '-inf', due, 'LIMIT', 0, 1)[1] then return { 'slow' } end
  end
end
local jobs, leases = {}, {}
if wanted > 0 and queue[2] ~= '1' then
  jobs, leases = lease_plain(wanted, now, from)
  if not jobs then return { 'slow' } end
end
if acks > 0 then store_acks(done, ids, now, retention, tonumber(ARGV[8]), ARGV[9] == '1') end
local counts, left = {}, #jobs / 2
for i = from, #ARGV, 6 do
  if ARGV[i + 3] == '1' then call('ZADD', KEYS[10], now, ARGV[i + 2]) end
  local has = math.min(left, tonumber(ARGV[i]))
  counts[#counts + 1] = has
  left = left - has
end
if #jobs > 0 then
  call('HSET', KEYS[2], unpack(jobs))
  call('ZADD', KEYS[4], unpack(leases))
end
if waits and #jobs < 2 * wanted then call('SET', KEYS[8], 1, 'PX', 35000) end
return { 'ok', settled, jobs, counts }
