-- Part: finished jobs on their way to the archive. Where the service has one, its two keys are the last.
local TO_ARCHIVE, UNARCHIVED = KEYS[#KEYS - 1], KEYS[#KEYS]

-- Puts a finished job into the outbox, which has room for `most`. Where it has none, the oldest makes room, or the job waits for its
-- place.
local function send_to_archive(id, record, at, most, drops_oldest)
  local full = redis.call('XLEN', TO_ARCHIVE) >= most
  if full and not drops_oldest then return redis.call('ZADD', UNARCHIVED, at, id) end
  redis.call('XADD', TO_ARCHIVE, '*', 'id', id, 'at', at, 'record', record)
  if full then redis.call('HINCRBY', KEYS[1], 'dropped', redis.call('XTRIM', TO_ARCHIVE, 'MAXLEN', most)) end
end

-- When the oldest job finished that is not archived yet, and how many there are.
local function first_unarchived()
  local first, at = redis.call('XRANGE', TO_ARCHIVE, '-', '+', 'COUNT', 1)[1], math.huge
  if first then at = tonumber(first[2][4]) end
  local waits = redis.call('ZRANGE', UNARCHIVED, 0, 0, 'WITHSCORES')
  if waits[2] then at = math.min(at, tonumber(waits[2])) end
  return at, redis.call('XLEN', TO_ARCHIVE) + redis.call('ZCARD', UNARCHIVED)
end
