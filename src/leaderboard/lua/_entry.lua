-- Part: the entries of one ranking r = { rank, ids, meta, distinct }.
-- `width` is the order key's bytes, of which `sub_width` are subscores. Where width is 0 the ZSET's member is the
-- member id itself and there is no directory.

-- An entry: its order key and ZSET member, both false where it is absent, and its score. The caller may know the
-- member's hash.
local function entry_find(r, member, width, hash)
  -- All fields at once: a table that grows is made anew at each power of two.
  local entry = {
    member = member, hash = hash, key = '', element = false, score = false, bucket = 0, text = '', from = 0, key_from = 0,
  }
  if width > 0 then directory_get(r, entry, width) end
  if entry.key then
    entry.element = entry.key .. member
    entry.score = redis.call('ZSCORE', r.rank, entry.element)
  end
  return entry
end
