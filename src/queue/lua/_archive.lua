-- Part: finished jobs on their way to the archive. Where the service has one, its three keys are the last.
local WITHDRAWN, TO_ARCHIVE, UNARCHIVED = KEYS[#KEYS - 2], KEYS[#KEYS - 1], KEYS[#KEYS]

-- Puts a finished job into the outbox, which has room for `most`. Where it has none, the oldest makes room, or the job waits for its
-- place.
local function send_to_archive(id, record, at, most, drops_oldest)
  local full = redis.call('XLEN', TO_ARCHIVE) >= most
  if full and not drops_oldest then return redis.call('ZADD', UNARCHIVED, at, id) end
  redis.call('XADD', TO_ARCHIVE, '*', 'id', id, 'at', at, 'record', record)
  if full then redis.call('HINCRBY', KEYS[1], 'dropped', redis.call('XTRIM', TO_ARCHIVE, 'MAXLEN', most)) end
end

-- Takes finished jobs out of the archive, too. Until that is done, who looks for them there knows by `withdrawn` that they are gone.
-- It may be beyond the bound: what has left is larger.
local function withdraw(ids, at)
  if #ids == 0 then return end
  local entry = redis.call('XADD', TO_ARCHIVE, '*', 'id', '', 'at', at, 'record', cmsgpack.pack(at, unpack(ids)))
  local since, marks = string.match(entry, '^%d+'), {}
  for i, id in ipairs(ids) do marks[2 * i - 1], marks[2 * i] = since, id end
  redis.call('ZADD', WITHDRAWN, unpack(marks))
end

-- When the oldest job finished that is not archived yet, and how many there are.
local function first_unarchived()
  local first, at = redis.call('XRANGE', TO_ARCHIVE, '-', '+', 'COUNT', 1)[1], math.huge
  if first then at = tonumber(first[2][4]) end
  local waits = redis.call('ZRANGE', UNARCHIVED, 0, 0, 'WITHSCORES')
  if waits[2] then at = math.min(at, tonumber(waits[2])) end
  return at, redis.call('XLEN', TO_ARCHIVE) + redis.call('ZCARD', UNARCHIVED)
end
