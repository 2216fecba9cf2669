-- Part: keeping the entries of one ranking in its segments.
-- What describes an entry stands in the HASH r.values as parts: 0x01 dimension 0x02 value, or 0x03 instead of 0x02 where
-- the dimension has no ranking of its own. For each part of the first kind the ZSET r.segments, whose scores are all 0,
-- holds part 0x00 score order-key member: inside a part its byte order is that of the ranking. The field
-- `0x01 dimension` counts the values of a dimension; no member looks like that.

local function entry_segments(r, entry)
  entry.segments = entry.segments or redis.call('HGET', r.values, entry.member) or ''
  return entry.segments
end

local function holds_part(parts, part)
  return string.find(parts .. '\1', '\1' .. part .. '\1', 1, true) and true or false
end

local function count_value(r, part, by)
  local field = '\1' .. string.match(part, '^%d+')
  if redis.call('HINCRBY', r.values, field, by) == 0 then redis.call('HDEL', r.values, field) end
end

-- Moves the entry from its parts to the new ones and its new score and element; '' takes it out of all.
local function segments_move(r, entry, parts, score, element)
  local old = entry_segments(r, entry)
  for part in string.gmatch(old, '\1(%d+\2[^\1]*)') do
    redis.call('ZREM', r.segments, part .. '\0' .. score_bytes(entry.score) .. entry.element)
    if not holds_part(parts, part) and segment_total(r.segments, part) == 0 then count_value(r, part, -1) end
  end
  for part in string.gmatch(parts, '\1(%d+\2[^\1]*)') do
    if not holds_part(old, part) and segment_total(r.segments, part) == 0 then count_value(r, part, 1) end
    redis.call('ZADD', r.segments, 0, part .. '\0' .. score_bytes(score) .. element)
  end
  if parts == old then return end
  if parts == '' then redis.call('HDEL', r.values, entry.member) else redis.call('HSET', r.values, entry.member, parts) end
end
