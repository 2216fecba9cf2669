-- Part: changing the directory of a ranking.
local BUCKET_RECORDS = 16

local function directory_set(r, entry, key)
  local text = entry.text
  if entry.key then
    text = string.sub(text, 1, entry.key_from - 1) .. key .. string.sub(text, entry.key_from + #key)
  else
    text = text .. '\1' .. entry.member .. '\0' .. key
  end
  redis.call('HSET', r.ids, entry.bucket, text)
  r.buckets = math.max(1, r.buckets)
end

local function directory_drop(r, entry)
  local rest = string.sub(entry.text, entry.key_from + #entry.key)
  redis.call('HSET', r.ids, entry.bucket, string.sub(entry.text, 1, entry.from - 1) .. rest)
end

-- Splits the next bucket when `entries` fill those that are there.
local function directory_grow(r, entries, width)
  local buckets = r.buckets
  if entries <= buckets * BUCKET_RECORDS then return end
  local _, exponent = math.frexp(buckets)
  local split = buckets - 2 ^ (exponent - 1)
  local kept, moved = {}, {}
  local text = redis.call('HGET', r.ids, split) or ''
  local from = 1
  while from <= #text do
    local zero = string.find(text, '\0', from, true)
    local record = string.sub(text, from, zero + width)
    local hash = member_hash(string.sub(text, from + 1, zero - 1))
    local into = bucket_of(hash, buckets + 1) == split and kept or moved
    into[#into + 1] = record
    from = zero + width + 1
  end
  redis.call('HSET', r.ids, split, table.concat(kept), buckets, table.concat(moved))
  r.buckets = buckets + 1
end
