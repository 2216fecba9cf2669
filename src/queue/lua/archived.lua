-- Takes out of the outbox what has been archived, and takes in finished jobs that waited for their place.
--   KEYS  1 queue  2 jobs  3 the jobs on their way  4 those that wait for their place  5 those that are to leave the archive
--   ARGV  1 id of the first entry that stays  2 how many there is room for
--   Gives { 'ok', how many were dropped since the last time, how many are left, 1 if the queue is there }.
redis.call('XTRIM', KEYS[3], 'MINID', ARGV[1])
local first = redis.call('XRANGE', KEYS[3], '-', '+', 'COUNT', 1)[1]
redis.call('ZREMRANGEBYSCORE', KEYS[5], '-inf', first and '(' .. string.match(first[1], '^%d+') or '+inf')
local room, bytes = math.min(tonumber(ARGV[2]) - redis.call('XLEN', KEYS[3]), 500), 0
local waits = room > 0 and redis.call('ZRANGE', KEYS[4], 0, room - 1, 'WITHSCORES') or {}
for i = 1, #waits, 2 do
  if bytes > 1048576 then break end
  local record = redis.call('HGET', KEYS[2], waits[i])
  redis.call('ZREM', KEYS[4], waits[i])
  if record then
    redis.call('XADD', KEYS[3], '*', 'id', waits[i], 'at', waits[i + 1], 'record', record)
    bytes = bytes + #record
  end
end
local dropped = tonumber(redis.call('HGET', KEYS[1], 'dropped') or 0)
if dropped > 0 then redis.call('HDEL', KEYS[1], 'dropped') end
return { 'ok', dropped, redis.call('XLEN', KEYS[3]) + redis.call('ZCARD', KEYS[4]), redis.call('EXISTS', KEYS[1]) }
