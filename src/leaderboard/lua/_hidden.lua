-- Part: the entries of banned members. Each stands in the HASH r.hidden, member -> MessagePack { score, order key, metadata, parts of
-- segments },
-- and nowhere else, so that all that reads or counts a ranking goes without it.

-- An entry as `entry_find` gives it, with its metadata.
local function hidden_find(r, member)
  local stored = redis.call('HGET', r.hidden, member)
  if not stored then return { member = member, key = false, score = false, metadata = '', parts = '' } end
  local row = cmsgpack.unpack(stored)
  return { member = member, score = row[1], key = row[2], metadata = row[3], parts = row[4] }
end

-- Puts a row in the place of the one that `hidden_find` gave, with its parts where no other ones are given.
local function hidden_write(r, entry, score, key, metadata, parts)
  redis.call('HSET', r.hidden, entry.member, cmsgpack.pack({ score, key, metadata, parts or entry.parts or '' }))
end

-- Takes a member's entries out of what is seen; gives whether it had any.
local function hide(rankings, member, shape)
  local any = false
  for _, r in ipairs(rankings) do
    local entry = entry_find(r, member, shape.width)
    if entry.score then
      any = true
      local metadata = redis.call('HGET', r.meta, member) or ''
      hidden_write(r, entry, entry.score, entry.key, metadata, entry_segments(r, entry))
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
      entry_write(r, entry, row.score, row.key, row.metadata, shape.width, shape.sub_width, row.parts)
      if shape.keep > 0 then entries_trim(r, shape.keep, 2, shape.width, shape.sub_width) end
    end
  end
end
