-- Part: how jobs become ready. A plain job stands in the LIST of its priority. A job with a managed key stands in the line
-- of its key, and a turn (byte 1 and the key) in the LIST: one for each job, or with `fair` one for each key and priority.
-- Turns that a limit of their key holds back are owed, and return to the front when it has room.
local pushed = 0

local function key_of(job)
  local _, _, _, key = cmsgpack.unpack(job[TAIL])
  return key
end

local function push_turn(key, priority, command)
  redis.call(command, KEYS[READY + priority], '\1' .. key)
  pushed = pushed + 1
end

local function line_member(key, job, id)
  return key .. '\0' .. (9 - job[PRIORITY]) .. string.format('%015d', job[PLACE]) .. id
end

-- Lets a job that is in no place stand in line: at the end, or in front (`LPUSH`) where it stood already.
local function enter_line(id, job, command)
  job[STATE] = IS_READY
  if not has(job, HAS_KEY) or has(job, HAS_SLOT) then
    redis.call(command, KEYS[READY + job[PRIORITY]], id)
    pushed = pushed + 1
    return
  end
  if command == 'RPUSH' or not job[PLACE] then job[PLACE] = redis.call('HINCRBY', KEYED, 'seq', 1) end
  local key = key_of(job)
  redis.call('ZADD', LINES, 0, line_member(key, job, id))
  if not fair or redis.call('HSETNX', KEYED, 't' .. job[PRIORITY] .. key, 1) == 1 then
    push_turn(key, job[PRIORITY], command)
  end
end

-- Gives back up to `most` turns that a key is owed.
local function return_turns(key, most)
  local fields = {}
  for priority = 9, 0, -1 do fields[10 - priority] = 'o' .. priority .. key end
  local owed = redis.call('HMGET', KEYED, unpack(fields))
  for i = 1, 10 do
    local turns = math.min(tonumber(owed[i] or 0), most)
    for _ = 1, turns do push_turn(key, 10 - i, 'LPUSH') end
    if turns > 0 and redis.call('HINCRBY', KEYED, fields[i], -turns) == 0 then redis.call('HDEL', KEYED, fields[i]) end
    most = most - turns
    if most == 0 then return end
  end
end

-- Frees the slot of its key that a job holds.
local function free_slot(job)
  if not has(job, HAS_SLOT) then return end
  job[TRAITS] = job[TRAITS] - HAS_SLOT
  local key = key_of(job)
  if redis.call('HINCRBY', KEYED, 'r' .. key, -1) <= 0 then redis.call('HDEL', KEYED, 'r' .. key) end
  return_turns(key, 1)
end

-- Wakes waiters of this queue, if there are any, for what has become ready.
local function wake()
  if pushed > 0 and redis.call('EXISTS', WAITERS) == 1 then
    redis.call('PUBLISH', channel, 'ready ' .. pushed .. ' ' .. name)
  end
end

local function count(what, by)
  if by > 0 then redis.call('HINCRBY', STATS, what .. math.floor(now / 10000), by) end
end
