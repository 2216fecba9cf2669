-- Part: the entries of banned members. Each stands in the HASH r.hidden, member -> MessagePack { score, order key, metadata },
-- and nowhere else, so that all that reads or counts a ranking goes without it.

-- An entry as `entry_find` gives it, with its metadata.
local function hidden_find(r, member)
  local stored = redis.call('HGET', r.hidden, member)
  if not stored then return { member = member, key = false, score = false, metadata = '' } end
  local row = cmsgpack.unpack(stored)
  return { member = member, score = row[1], key = row[2], metadata = row[3] }
end

local function hidden_write(r, member, score, key, metadata)
  redis.call('HSET', r.hidden, member, cmsgpack.pack({ score, key, metadata }))
end

-- Takes a member's entries out of what is seen; gives whether it had any.
local function hide(rankings, member, shape)
  local any = false
  for _, r in ipairs(rankings) do
    local entry = entry_find(r, member, shape.width)
    if entry.score then
      any = true
      hidden_write(r, member, entry.score, entry.key, redis.call('HGET', r.meta, member) or '')
      entry_remove(r, entry, shape.sub_width)
    end
  end
  return any
end

-- Brings them back as they were, or as their member's submissions have made them meanwhile.
local function show(rankings, member, shape)
  for _, r in ipairs(rankings) do
    local row = hidden_find(r, member)
    if row.score then
      redis.call('HDEL', r.hidden, member)
      local entry = entry_find(r, member, shape.width)
      entry_write(r, entry, row.score, row.key, row.metadata, shape.width, shape.sub_width)
      if shape.keep > 0 then entries_trim(r, shape.keep, 2, shape.width, shape.sub_width) end
    end
  end
end
