-- Reads who works on a queue.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 no settings  4 ''  5 place in the leases to begin at  6 how many leases to look at
--   Gives { 'ok', how many leases there were, { worker, last seen ms, and so on }, { worker of a lease, and so on } }.
local seen = redis.call('ZRANGEBYSCORE', WORKERS, '(' .. now - 60000, '+inf', 'WITHSCORES')
local ids = redis.call('ZRANGE', LEASED, ARGV[5], ARGV[5] + ARGV[6] - 1)
local workers = {}
for _, id in ipairs(ids) do
  local job = open(redis.call('HGET', JOBS, id))
  if job[WORKER] then workers[#workers + 1] = job[WORKER] end
end
return { 'ok', #ids, seen, workers }
