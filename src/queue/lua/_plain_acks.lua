-- Part: jobs that are plain: nothing but their record, their LIST and their lease is to be looked after. Records as lua/_job.lua
-- has them, in local variables, which cost less than tables, and so do functions with local names. Numbers become text here: Redis
-- would write them as floating point, and read them so again.
local call, KEYS, ARGV = redis.call, KEYS, ARGV
local pack, unpack_limit, sub = cmsgpack.pack, cmsgpack.unpack_limit, string.sub

-- Reads the jobs of the acks that ARGV begins with: the records that completing them makes, their ids, and what the answer has for
-- each; nothing where one of them is not plain or not its caller's.
local function plain_acks(acks, now)
  if acks == 0 then return {}, {}, {} end
  local ids, seen, done, settled = {}, {}, {}, {}
  for i = 1, acks do
    local id = ARGV[6 + 4 * i]
    if seen[id] then return nil end
    seen[id] = true
    ids[i] = id
  end
  local found = call('HMGET', KEYS[2], unpack(ids))
  for i = 1, acks do
    local at, record = 6 + 4 * i, found[i]
    if not record then return nil end
    local offset, state, priority, attempt, most, enqueued, run_at, ready_at, started_at, _, deadline, lease, worker, progress,
      _, errors, traits, place = unpack_limit(record, 17, 0)
    if state ~= 3 or lease ~= ARGV[at + 1] or deadline <= now or traits % 16 ~= 0 then return nil end
    local result = ARGV[at + 2] ~= '' and ARGV[at + 2] or nil
    record = pack(4, priority, attempt, most, enqueued, run_at, ready_at, started_at, now, deadline, lease, worker,
      progress, result, errors, traits, place) .. sub(record, offset + 1)
    done[i] = record
    settled[2 * i - 1], settled[2 * i] = now - started_at, ARGV[at + 3] == '1' and record or ''
  end
  return done, ids, settled
end

-- Stores what is done, and puts it into the outbox of the archive, where there is room for `most` (nil without an archive).
local function store_acks(done, ids, now, retention, most, drops_oldest)
  call('ZREM', KEYS[4], unpack(ids))
  local fields, scores, ended_at = {}, {}, string.format('%.0f', now)
  for i, id in ipairs(ids) do
    local at = 2 * i
    fields[at - 1], fields[at] = id, done[i]
    scores[at - 1], scores[at] = ended_at, id
    if most then send_to_archive(id, done[i], ended_at, most, drops_oldest) end
  end
  if retention == 0 and (drops_oldest or not most) then
    call('HDEL', KEYS[2], unpack(ids))
  else
    call('HSET', KEYS[2], unpack(fields))
    call('ZADD', KEYS[5], unpack(scores))
  end
  call('HINCRBY', KEYS[7], 'c' .. math.floor(now / 10000), #ids)
  if call('EXISTS', KEYS[9]) == 1 then
    for _, id in ipairs(ids) do call('PUBLISH', ARGV[4], 'finished ' .. ARGV[3] .. ' ' .. id) end
  end
end
