-- Part: changing the entries of one ranking.

-- Keeps the ZSET of distinct rows, where one stands, after a row came (`score`) or went (`gone`; either may be nil).
local function distinct_keep(r, score, sub_key, gone, gone_sub_key)
  if score then redis.call('ZADD', r.distinct, score, distinct_entry(score, sub_key)) end
  if not gone then return end
  local at = lower_bound(r.rank, gone, gone_sub_key)
  local found = redis.call('ZRANGE', r.rank, at, at, 'WITHSCORES')
  local remains = found[1] and tonumber(found[2]) == tonumber(gone)
    and string.sub(found[1], 1, #gone_sub_key) == gone_sub_key
  if not remains then redis.call('ZREM', r.distinct, distinct_entry(gone, gone_sub_key)) end
end

-- Puts the row (score, key, metadata or '') in the place of the one that `entry_find` gave, in the segments of `parts`, or
-- of those that it had where that is nil.
local function entry_write(r, entry, score, key, metadata, width, sub_width, parts)
  local element = key .. entry.member
  if entry.score and entry.element ~= element then redis.call('ZREM', r.rank, entry.element) end
  redis.call('ZADD', r.rank, score, element)
  if width > 0 then
    directory_set(r, entry, key)
    if not entry.key then directory_grow(r, redis.call('ZCARD', r.rank), width) end
  end
  if metadata ~= '' then redis.call('HSET', r.meta, entry.member, metadata) end
  -- Most rankings have neither metadata, nor distinct rows, nor segments: one look a call for all.
  if parts or metadata ~= '' then r.is_plain = false end
  if r.is_plain == nil then r.is_plain = redis.call('EXISTS', r.meta, r.distinct, r.values) == 0 end
  if r.is_plain then return element end
  segments_move(r, entry, parts or entry_segments(r, entry), score, element)
  if metadata == '' then redis.call('HDEL', r.meta, entry.member) end
  if redis.call('EXISTS', r.distinct) == 1 then
    local gone_sub_key = entry.key and string.sub(entry.key, 1, sub_width)
    distinct_keep(r, score, string.sub(key, 1, sub_width), entry.score or nil, gone_sub_key)
  end
  return element
end

-- `entry.segments` keeps the parts that it had.
local function entry_remove(r, entry, sub_width)
  segments_move(r, entry, '')
  redis.call('ZREM', r.rank, entry.element)
  if entry.key ~= '' then directory_drop(r, entry) end
  redis.call('HDEL', r.meta, entry.member)
  if redis.call('EXISTS', r.rank) == 0 then
    redis.call('UNLINK', r.ids, r.meta, r.distinct, r.segments, r.values)
    r.buckets, r.is_plain = nil, nil
  elseif redis.call('EXISTS', r.distinct) == 1 then
    distinct_keep(r, nil, nil, entry.score, string.sub(entry.key, 1, sub_width))
  end
end

-- Removes up to `most` of the worst entries beyond the first `keep`; gives how many are still to go.
local function entries_trim(r, keep, most, width, sub_width)
  local surplus = redis.call('ZCARD', r.rank) - keep
  if surplus <= 0 then return 0 end
  for _, element in ipairs(redis.call('ZRANGE', r.rank, -math.min(surplus, most), -1)) do
    entry_remove(r, entry_find(r, string.sub(element, width + 1), width), sub_width)
  end
  return math.max(0, surplus - most)
end
