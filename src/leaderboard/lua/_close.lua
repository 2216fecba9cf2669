-- Part: what has ended is closed once: noted in the HASH of what is closing, where something is to be paid for it.

-- Until when all that has ended is closed, in ms.
local function closed_until(board)
  local marks = redis.call('HMGET', board, 'rolled', 'floor')
  return tonumber(marks[1]) or math.floor(tonumber(marks[2] or '0') / 1000)
end

-- Closes the periods that have ended since, up to a time in ms. The lists of periods are `count` KEYS from `list` on; from
-- `argument` on stand for each: what its periods follow in keys, how many ended ones are kept, its window, and what is to be
-- paid ('' = nothing). Gives how many were closed. They are few: this is done each second, and before anything that ends one.
local function close_ended(board, closing, till, list, argument, count)
  local before, closed = closed_until(board), 0
  local last = before
  for i = 0, count - 1 do
    local window, plan = ARGV[argument + 4 * i + 2], ARGV[argument + 4 * i + 3]
    local from, to = string.format('(%.0f', before), string.format('%.0f', till)
    local ended = redis.call('ZRANGEBYSCORE', KEYS[list + i], from, to, 'WITHSCORES')
    for j = 1, #ended, 2 do
      closed, last = closed + 1, math.max(last, tonumber(ended[j + 1]))
      local paid = string.format('%.0f', tonumber(ended[j + 1])) .. ' ' .. plan
      if plan ~= '' then redis.call('HSET', closing, window .. ':' .. ended[j], paid) end
    end
  end
  if last > before then
    local floor = math.max(tonumber(redis.call('HGET', board, 'floor') or '0'), last * 1000)
    redis.call('HSET', board, 'rolled', string.format('%.0f', last), 'floor', string.format('%.0f', floor))
  end
  return closed
end
