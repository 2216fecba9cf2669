-- Reads a queue.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 no settings
--   Gives { 'missing' } | { 'ok', now ms, version, settings, created ms, 1 if paused, figures, jobs enqueued, completed and failed in
--   the last minute }.
local queue = redis.call('HMGET', QUEUE, 'version', 'settings', 'created', 'paused')
if not queue[1] then return { 'missing' } end
local sums = {}
for i, what in ipairs({ 'e', 'c', 'f' }) do
  local fields = {}
  for back = 0, 5 do fields[back + 1] = what .. (math.floor(now / 10000) - back) end
  local sum = 0
  for _, value in ipairs(redis.call('HMGET', STATS, unpack(fields))) do sum = sum + tonumber(value or 0) end
  sums[i] = sum
end
return { 'ok', now, queue[1], queue[2], queue[3], queue[4], figures(), sums[1], sums[2], sums[3] }
