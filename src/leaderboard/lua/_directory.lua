-- Part: the directory of a ranking, member id -> order key, in one HASH.
-- Its fields are buckets 0, 1, 2, …; a bucket is a run of records 0x01 member 0x00 order-key. Neither byte occurs in a
-- member (no control characters) or in an order key (0x80 and above), so a plain search finds a record. The number of
-- buckets is HLEN; it grows one bucket at a time by linear hashing (Litwin, VLDB 1980). A field for each member would
-- cost 88 bytes an entry, records in buckets cost about 30.

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

-- Looks the entry's member up: its key (or false), and where its record is or would be. How many buckets there are is asked once a
-- call: whatever changes it keeps `r.buckets`.
local function directory_get(r, entry, width)
  local buckets = r.buckets or redis.call('HLEN', r.ids)
  r.buckets, entry.key = buckets, false
  if buckets == 0 then
    entry.bucket, entry.text = 0, ''
    return
  end
  entry.bucket = bucket_of(entry.hash or member_hash(entry.member), buckets)
  entry.text = redis.call('HGET', r.ids, entry.bucket) or ''
  local from, to = string.find(entry.text, '\1' .. entry.member .. '\0', 1, true)
  if from then
    entry.key, entry.from, entry.key_from = string.sub(entry.text, to + 1, to + width), from, to + 1
  end
end
