-- Looks whether buckets of the directory of a ranking are there, and whether what they hold is of entries.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 board version  2 order key width  3 sub width  4 1 to mend  5 from bucket  6 to bucket  7 1 to look at what they hold
--   Gives { 'stale' } or { 'ok', 0, then what _check.lua says of each fault }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r, width = ranking_at(2), tonumber(ARGV[2])
local buckets = redis.call('HLEN', r.ids)

-- What is wrong with a record, if anything.
local function wrong_with(member, key, bucket, seen)
  if bucket_of(member_hash(member), buckets) ~= bucket then return 'stands in a wrong bucket of the directory' end
  if seen[member] then return 'stands in the directory twice' end
  if not redis.call('ZSCORE', r.rank, key .. member) then return 'stands in the directory and not in the ranking' end
  seen[member] = true
end

local function check_bucket(bucket, text)
  local from, kept, faults, seen = 1, {}, {}, {}
  while from <= #text do
    local zero = string.byte(text, from) == 1 and string.find(text, '\0', from, true)
    if not zero or zero + width > #text then
      faults[#faults + 1] = { '', 'bucket ' .. bucket .. ' of the directory cannot be read to its end' }
      break
    end
    local member = string.sub(text, from + 1, zero - 1)
    local wrong = wrong_with(member, string.sub(text, zero + 1, zero + width), bucket, seen)
    if wrong then faults[#faults + 1] = { member, wrong } else kept[#kept + 1] = string.sub(text, from, zero + width) end
    from = zero + width + 1
  end
  for i, one in ipairs(faults) do
    fault(one[1], one[2], 'taken out of it', function()
      if i == #faults then redis.call('HSET', r.ids, bucket, table.concat(kept)) end
    end)
  end
end

for bucket = tonumber(ARGV[5]), ARGV[6] - 1 do
  local text = redis.call('HGET', r.ids, bucket)
  if not text then
    fault('', 'bucket ' .. bucket .. ' of the directory is missing', 'made, empty', function()
      redis.call('HSET', r.ids, bucket, '')
    end)
  elseif ARGV[7] == '1' then
    check_bucket(bucket, text)
  end
end
return found
