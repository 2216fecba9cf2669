-- Part: how jobs that wait are taken out of their line.

-- How far a LIST is searched from each end: a fraction of a millisecond.
local SEARCH = 10000

-- How many jobs of a key may start now.
local function room_of(key)
  if key_rate and redis.call('ZSCORE', PARKED, key) then return 0 end
  return key_max and key_max - tonumber(redis.call('HGET', KEYED, 'r' .. key) or 0) or math.huge
end

-- Takes a job out of the line of its key, and its turn out of the LIST, if there is one for each job.
local function take_turn_away(id, job)
  local key, list, turns = key_of(job), KEYS[READY + job[PRIORITY]], 'o' .. job[PRIORITY] .. key_of(job)
  local member, from = line_member(key, job, id), key .. '\0' .. (9 - job[PRIORITY])
  local place = redis.call('ZLEXCOUNT', LINES, '[' .. from, '[' .. member)
  redis.call('ZREM', LINES, member)
  if fair then return end
  local owed, coming, last = tonumber(redis.call('HGET', KEYED, turns) or 0), count_returned(key, job[PRIORITY])
  local there = coming + tonumber(redis.call('HGET', KEYED, 'n' .. job[PRIORITY] .. key) or 0)
  -- Where keys took turns before, there is one for all that are left.
  if owed + there <= redis.call('ZLEXCOUNT', LINES, '[' .. from, '(' .. from .. ':') then return end
  -- The first ones have turns that have come back, as many as there is room for, the next ones those that are owed. Of both together
  -- the owed one goes: else there might be none in the LIST for the room that there is.
  if owed > 0 and place <= owed + math.min(math.max(room_of(key), coming), there) then
    if redis.call('HINCRBY', KEYED, turns, -1) == 0 then redis.call('HDEL', KEYED, turns) end
    return
  end
  local at = place > coming and redis.call('LPOS', list, '\1' .. key, 'RANK', place - owed - coming, 'MAXLEN', SEARCH)
  if place <= coming then
    table.remove(returned, last)
  elseif at then
    redis.call('LSET', list, at, '\2')
    redis.call('LREM', list, 1, '\2')
    local counted = 'n' .. job[PRIORITY] .. key
    if redis.call('HINCRBY', KEYED, counted, -1) <= 0 then redis.call('HDEL', KEYED, counted) end
  end
  -- It may have been the one that had come back for the room that there is: now the next one does, of whatever priority.
  if room_of(key) > 0 then return_turns(key, 1) end
end

-- Takes a job from where it waits.
local function leave_line(id, job)
  if job[STATE] == IS_SCHEDULED then
    redis.call('ZREM', SCHEDULED, id)
  elseif has(job, HAS_KEY) and not has(job, HAS_SLOT) then
    take_turn_away(id, job)
  elseif redis.call('LPOS', KEYS[READY + job[PRIORITY]], id, 'MAXLEN', SEARCH) then
    redis.call('LREM', KEYS[READY + job[PRIORITY]], 1, id)
  elseif redis.call('LPOS', KEYS[READY + job[PRIORITY]], id, 'RANK', -1, 'MAXLEN', SEARCH) then
    redis.call('LREM', KEYS[READY + job[PRIORITY]], -1, id)
  else
    -- Too far from both ends: it is passed over later, even if its id is used anew.
    redis.call('HINCRBY', KEYED, 'g' .. job[PRIORITY] .. id, 1)
    redis.call('HSET', QUEUE, 'odd', 1)
  end
end
