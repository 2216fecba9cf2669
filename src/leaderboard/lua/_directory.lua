-- Part: the directory of a ranking, member id -> order key, in one HASH.
-- Its fields are buckets 0, 1, 2, …; a bucket is a run of records 0x01 member 0x00 order-key. Neither byte occurs in a
-- member (no control characters) or in an order key (0x80 and above), so a plain search finds a record. The number of
-- buckets is HLEN; it grows one bucket at a time by linear hashing (Litwin, VLDB 1980). A field for each member would
-- cost 88 bytes an entry, records in buckets cost about 30.
local BUCKET_RECORDS = 16

local function member_hash(member)
  return tonumber(string.sub(redis.sha1hex(member), 1, 8), 16)
end

local function bucket_of(hash, buckets)
  local _, exponent = math.frexp(buckets)
  local span = 2 ^ exponent
  local bucket = hash % span
  if bucket >= buckets then bucket = hash % (span / 2) end
  return bucket
end

-- Gives the order key or nil, and the place to hand to directory_set and directory_drop.
local function directory_get(ids, member, width)
  local place = { buckets = redis.call('HLEN', ids), text = '' }
  if place.buckets == 0 then
    place.bucket = 0
    return nil, place
  end
  place.bucket = bucket_of(member_hash(member), place.buckets)
  place.text = redis.call('HGET', ids, place.bucket) or ''
  local from, to = string.find(place.text, '\1' .. member .. '\0', 1, true)
  if not from then return nil, place end
  place.from, place.key_from, place.to = from, to + 1, to + width
  return string.sub(place.text, place.key_from, place.to), place
end

local function directory_set(ids, member, key, place)
  local text
  if place.from then
    text = string.sub(place.text, 1, place.key_from - 1) .. key .. string.sub(place.text, place.to + 1)
  else
    text = place.text .. '\1' .. member .. '\0' .. key
  end
  redis.call('HSET', ids, place.bucket, text)
  if place.buckets == 0 then place.buckets = 1 end
end

local function directory_drop(ids, place)
  redis.call('HSET', ids, place.bucket, string.sub(place.text, 1, place.from - 1) .. string.sub(place.text, place.to + 1))
end

-- Splits the next bucket when `entries` fill those that are there.
local function directory_grow(ids, buckets, entries, width)
  if entries <= buckets * BUCKET_RECORDS then return end
  local _, exponent = math.frexp(buckets)
  local split = buckets - 2 ^ (exponent - 1)
  local kept, moved = {}, {}
  local text = redis.call('HGET', ids, split) or ''
  local from = 1
  while from <= #text do
    local zero = string.find(text, '\0', from, true)
    local record = string.sub(text, from, zero + width)
    local hash = member_hash(string.sub(text, from + 1, zero - 1))
    local into = bucket_of(hash, buckets + 1) == split and kept or moved
    into[#into + 1] = record
    from = zero + width + 1
  end
  redis.call('HSET', ids, split, table.concat(kept), buckets, table.concat(moved))
end
