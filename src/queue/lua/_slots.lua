-- Part: slots of keys, the turns that come back with them, and who is told.

-- Puts the turns that have come back in front of their LISTs, those of the jobs that came first foremost.
local function put_returned()
  if #returned == 0 then return end
  local seen = {}
  for _, turn in ipairs(returned) do
    local from = turn[1] .. '\0' .. (9 - turn[2])
    seen[from] = (seen[from] or -1) + 1
    local first = redis.call('ZRANGEBYLEX', LINES, '[' .. from, '(' .. from .. ':', 'LIMIT', seen[from], 1)[1]
    turn[3] = first and string.sub(first, #from + 1, #from + 20) or ''
  end
  table.sort(returned, function(one, other) return one[3] > other[3] end)
  for _, turn in ipairs(returned) do push_turn(turn[1], turn[2], 'LPUSH') end
  for i = #returned, 1, -1 do returned[i] = nil end
end

-- Gives back up to `most` turns that a key is owed; `put_returned` puts them in their places.
local function return_turns(key, most)
  local fields = {}
  for priority = 9, 0, -1 do fields[10 - priority] = 'o' .. priority .. key end
  local owed = redis.call('HMGET', KEYED, unpack(fields))
  for i = 1, 10 do
    local turns = math.min(tonumber(owed[i] or 0), most)
    for _ = 1, turns do returned[#returned + 1] = { key, 10 - i } end
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
  put_returned()
  if pushed > 0 and redis.call('EXISTS', WAITERS) == 1 then
    redis.call('PUBLISH', channel, 'ready ' .. pushed .. ' ' .. name)
  end
end

local function count(what, by)
  if by > 0 then redis.call('HINCRBY', STATS, what .. math.floor(now / 10000), by) end
end
