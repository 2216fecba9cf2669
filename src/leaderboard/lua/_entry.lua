-- Part: the entries of one ranking r = { rank, ids, meta, distinct }.
-- `width` is the order key's bytes, of which `sub_width` are subscores. Where width is 0 the ZSET's member is the
-- member id itself and there is no directory.

local function entry_find(r, member, width)
  local entry = { member = member, key = '' }
  if width > 0 then entry.key, entry.place = directory_get(r.ids, member, width) end
  if entry.key then
    entry.element = entry.key .. member
    entry.score = redis.call('ZSCORE', r.rank, entry.element)
  end
  return entry
end

local function distinct_join(r, score, sub_key)
  if redis.call('EXISTS', r.distinct) == 1 then
    redis.call('ZADD', r.distinct, score, distinct_entry(score, sub_key))
  end
end

local function distinct_leave(r, score, sub_key)
  if redis.call('EXISTS', r.distinct) == 0 then return end
  local at = lower_bound(r.rank, score, sub_key)
  local found = redis.call('ZRANGE', r.rank, at, at, 'WITHSCORES')
  local remains = found[1] and tonumber(found[2]) == tonumber(score)
    and string.sub(found[1], 1, #sub_key) == sub_key
  if not remains then redis.call('ZREM', r.distinct, distinct_entry(score, sub_key)) end
end

-- Puts the row (score, key) in the place of the one that `entry_find` gave. Gives the new ZSET member.
local function entry_write(r, entry, score, key, width, sub_width)
  local element = key .. entry.member
  if entry.score and entry.element ~= element then redis.call('ZREM', r.rank, entry.element) end
  redis.call('ZADD', r.rank, score, element)
  if entry.score then distinct_leave(r, entry.score, string.sub(entry.key, 1, sub_width)) end
  distinct_join(r, score, string.sub(key, 1, sub_width))
  if width > 0 and entry.key ~= key then
    directory_set(r.ids, entry.member, key, entry.place)
    if not entry.score then directory_grow(r.ids, entry.place.buckets, redis.call('ZCARD', r.rank), width) end
  end
  return element
end

local function entry_remove(r, entry, sub_width)
  redis.call('ZREM', r.rank, entry.element)
  if entry.place then directory_drop(r.ids, entry.place) end
  redis.call('HDEL', r.meta, entry.member)
  distinct_leave(r, entry.score, string.sub(entry.key, 1, sub_width))
  if redis.call('EXISTS', r.rank) == 0 then redis.call('UNLINK', r.ids, r.meta, r.distinct) end
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
