-- Part: how jobs become ready. A plain job stands in the LIST of its priority. A job with a managed key stands in the line
-- of its key, and a turn (byte 1 and the key) in the LIST: one for each job, or with `fair` one for each key and priority.
-- Turns that a limit of their key holds back are owed, and return to the front when it has room.
local pushed = 0
-- Key and priority of those that are about to return.
local returned = {}

local function key_of(job)
  local _, _, _, key = cmsgpack.unpack(job[TAIL])
  return key
end

local function push_turn(key, priority, command)
  redis.call(command, KEYS[READY + priority], '\1' .. key)
  redis.call('HINCRBY', KEYED, 'n' .. priority .. key, 1)
  pushed = pushed + 1
end

-- How many turns of a key are about to return, and where the last of them stands.
local function count_returned(key, priority)
  local found, last = 0, nil
  for i, turn in ipairs(returned) do
    if turn[1] == key and turn[2] == priority then found, last = found + 1, i end
  end
  return found, last
end

-- Places in lines have 20 digits: the ms in which a job became ready, then a count.
local function place_of(ready_at)
  return string.format('%013d%07d', ready_at, redis.call('HINCRBY', KEYED, 'seq', 1) % 10000000)
end

local function line_member(key, job, id)
  return key .. '\0' .. (9 - job[PRIORITY]) .. job[PLACE] .. id
end

-- Lets a job that is in no place stand in line: at the end, or in front (`LPUSH`) where it stood already.
local function enter_line(id, job, command)
  job[STATE] = IS_READY
  if keyed and not has(job, HAS_KEY) and key_of(job) then job[TRAITS] = job[TRAITS] + HAS_KEY end
  if not has(job, HAS_KEY) or has(job, HAS_SLOT) then
    redis.call(command, KEYS[READY + job[PRIORITY]], id)
    pushed = pushed + 1
    return
  end
  if command == 'RPUSH' or not job[PLACE] then job[PLACE] = place_of(now) end
  -- Tells dequeue_plain.lua that there is more than plain jobs.
  redis.call('HSET', QUEUE, 'odd', 1)
  local key = key_of(job)
  redis.call('ZADD', LINES, 0, line_member(key, job, id))
  local turns = fair and redis.call('HMGET', KEYED, 'n' .. job[PRIORITY] .. key, 'o' .. job[PRIORITY] .. key)
  if not turns or not (turns[1] or turns[2] or count_returned(key, job[PRIORITY]) > 0) then
    push_turn(key, job[PRIORITY], command)
  end
end
