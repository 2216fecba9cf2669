-- Part: the turns of keys.

-- The times of the last leases of a key, oldest first.
local function last_leases(key)
  local times = cmsgpack.unpack(redis.call('HGET', KEYED, 'l' .. key) or '\144')
  while times[1] and times[1] <= now - key_per do table.remove(times, 1) end
  return times
end

-- When the rate of a key has room again; nil where it has.
local function key_has_room_at(key)
  local times = last_leases(key)
  return #times >= key_rate and times[#times - key_rate + 1] + key_per or nil
end

-- Counts a lease of a key. The log is looked at again when it is over, so that keys that are done with leave nothing.
local function log_lease(key)
  local times = last_leases(key)
  times[#times + 1] = now
  redis.call('HSET', KEYED, 'l' .. key, cmsgpack.pack(times))
  redis.call('ZADD', PARKED, now + key_per, '\2' .. key)
end

-- Holds a job back that has its key's slot already, until the rate of its key has room.
local function hold_back(id, priority, key)
  local free_at = key_has_room_at(key)
  if free_at then redis.call('ZADD', PARKED, free_at, '\1' .. priority .. id) end
  return free_at
end

-- The job whose turn it is, with a slot of its key; nil where the key has no room, or no job of that priority.
-- `counted` where a turn has been taken from the LIST for it.
local function take_turn(key, priority, counted)
  local from = key .. '\0' .. (9 - priority)
  local waiting = redis.call('ZRANGEBYLEX', LINES, '[' .. from, '(' .. from .. ':', 'LIMIT', 0, 2)
  local turns, owes = 'n' .. priority .. key, 'o' .. priority .. key
  local others = counted and redis.call('HINCRBY', KEYED, turns, -1) or tonumber(redis.call('HGET', KEYED, turns) or 0)
  if counted and others <= 0 then redis.call('HDEL', KEYED, turns) end
  -- Keys that take turns have one at a time.
  if fair and others > 0 then return nil end
  local running = tonumber(redis.call('HGET', KEYED, 'r' .. key) or 0)
  local full = key_max and running >= key_max
  if not waiting[1] then
    if not full then return_turns(key, 1) end
    put_returned()
    return nil
  end
  local free_at = not full and key_rate and key_has_room_at(key)
  if full or free_at then
    if fair then redis.call('HSET', KEYED, owes, 1) else redis.call('HINCRBY', KEYED, owes, 1) end
    if free_at then redis.call('ZADD', PARKED, free_at, key) end
    return nil
  end
  redis.call('ZREM', LINES, waiting[1])
  redis.call('HINCRBY', KEYED, 'r' .. key, 1)
  if waiting[2] and others <= 0 and (fair or not redis.call('HGET', KEYED, owes)) then push_turn(key, priority, 'RPUSH') end
  if key_max == nil or running + 1 < key_max then return_turns(key, 1) end
  put_returned()
  return string.sub(waiting[1], #from + 21)
end

-- Where a plain job has a key that is managed by now, it joins the line of its key, and its place in the LIST is a turn: gives
-- the id of the job whose turn it is, and whether that is to be read anew.
local function join_line(id, record, priority)
  local job = open(record)
  local key = key_of(job)
  if key and key_rate and has(job, HAS_SLOT) and job[STATE] == IS_READY and hold_back(id, priority, key) then return nil, false end
  if not key or has(job, HAS_KEY) or job[STATE] ~= IS_READY or job[PRIORITY] ~= priority then return id, false end
  job[TRAITS], job[PLACE] = job[TRAITS] + HAS_KEY, place_of(job[READY_AT] or job[ENQUEUED_AT])
  redis.call('ZADD', LINES, 0, line_member(key, job, id))
  redis.call('HSET', JOBS, id, seal(job))
  redis.call('HSET', QUEUE, 'odd', 1)
  return take_turn(key, priority, false), true
end
