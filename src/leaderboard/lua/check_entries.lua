-- Looks whether entries of a ranking stand where they should: in the directory, in their segments, in the distinct rows.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 board version  2 order key width  3 sub width  4 1 to mend  5 from place  6 most entries
--   Gives { 'stale' } or { 'ok', how many stay of those looked at, then what _check.lua says of each fault }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r, width, sub_width, gone = ranking_at(2), tonumber(ARGV[2]), tonumber(ARGV[3]), 0
local rows = redis.call('ZRANGE', r.rank, ARGV[5], ARGV[5] + ARGV[6] - 1, 'WITHSCORES')
local keeps_distinct = redis.call('ZSCORE', r.distinct, 'end')

local function drop(element)
  redis.call('ZREM', r.rank, element)
  gone = gone + 1
end

-- Whether the directory leads to this element.
local function check_directory(member, key, element)
  local entry = entry_find(r, member, width)
  if entry.element == element then return true end
  if not entry.key then
    fault(member, 'stands in the ranking and not in the directory', 'noted there', function()
      directory_set(r, entry, key)
      directory_grow(r, redis.call('ZCARD', r.rank), width)
    end)
  elseif not entry.score then
    fault(member, 'has another order key in the directory', 'noted there anew', function() directory_set(r, entry, key) end)
  else
    return not fault(member, 'stands in the ranking twice', 'the one that the directory does not know is removed', function()
      drop(element)
    end)
  end
  return true
end

local function check_row(element, score)
  local key, member = string.sub(element, 1, width), string.sub(element, width + 1)
  if member == '' or string.find(key, '[%z\1-\127]') or string.find(member, '[%z\1-\31\127]') then
    fault(member, 'stands in the ranking under a key that is none', 'removed', function() drop(element) end)
    return
  end
  if width > 0 and not check_directory(member, key, element) then return end
  for part in string.gmatch(redis.call('HGET', r.values, member) or '', '\1(%d+\2[^\1]*)') do
    local place = part .. '\0' .. score_bytes(score) .. element
    if redis.call('ZSCORE', r.segments, place) ~= '0' then
      fault(member, 'does not stand in its segment', 'put there', function() redis.call('ZADD', r.segments, 0, place) end)
    end
  end
  if keeps_distinct and not redis.call('ZSCORE', r.distinct, distinct_entry(score, string.sub(key, 1, sub_width))) then
    fault(member, 'has a row that is not among the distinct ones', 'those are built anew when they are read', function()
      redis.call('UNLINK', r.distinct)
      keeps_distinct = false
    end)
  end
end

for i = 1, #rows, 2 do check_row(rows[i], rows[i + 1]) end
found[2] = #rows / 2 - gone
return found
