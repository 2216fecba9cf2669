-- Part: jobs that are plain: nothing but their record, their LIST and their lease is to be looked after. Records as lua/_job.lua
-- has them, in local variables, which cost less than tables.

-- Reads the jobs of the acks that ARGV begins with: the records that completing them makes, their ids, and what the answer has for
-- each; nothing where one of them is not plain or not its caller's.
local function plain_acks(acks, now)
  if acks == 0 then return {}, {}, {} end
  local ids, seen, done, settled = {}, {}, {}, {}
  for i = 1, acks do
    ids[i] = ARGV[4 + 4 * i]
    if seen[ids[i]] then return nil end
    seen[ids[i]] = true
  end
  local found = redis.call('HMGET', KEYS[2], unpack(ids))
  for i = 1, acks do
    local at = 4 + 4 * i
    if not found[i] then return nil end
    local offset, state, priority, attempt, most, enqueued, run_at, ready_at, started_at, _, deadline, lease, worker, progress,
      _, errors, traits, place = cmsgpack.unpack_limit(found[i], 17, 0)
    if state ~= 3 or lease ~= ARGV[at + 1] or deadline <= now or traits % 16 ~= 0 then return nil end
    local result = ARGV[at + 2] ~= '' and ARGV[at + 2] or nil
    done[i] = cmsgpack.pack(4, priority, attempt, most, enqueued, run_at, ready_at, started_at, now, deadline, lease, worker,
      progress, result, errors, traits, place) .. string.sub(found[i], offset + 1)
    settled[2 * i - 1], settled[2 * i] = now - started_at, ARGV[at + 3] == '1' and done[i] or ''
  end
  return done, ids, settled
end

local function store_acks(done, ids, now, retention)
  redis.call('ZREM', KEYS[4], unpack(ids))
  if retention == 0 then
    redis.call('HDEL', KEYS[2], unpack(ids))
  else
    local fields, scores = {}, {}
    for i, id in ipairs(ids) do
      fields[2 * i - 1], fields[2 * i] = id, done[i]
      scores[2 * i - 1], scores[2 * i] = now, id
    end
    redis.call('HSET', KEYS[2], unpack(fields))
    redis.call('ZADD', KEYS[5], unpack(scores))
  end
  redis.call('HINCRBY', KEYS[7], 'c' .. math.floor(now / 10000), #ids)
  if redis.call('EXISTS', KEYS[9]) == 1 then
    for _, id in ipairs(ids) do redis.call('PUBLISH', ARGV[4], 'finished ' .. ARGV[3] .. ' ' .. id) end
  end
end
