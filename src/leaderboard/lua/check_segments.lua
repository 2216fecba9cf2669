-- Looks whether what stands in the segments of a ranking are its entries.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 board version  2 order key width  3 sub width  4 1 to mend  5 from place  6 most to look at
--   Gives { 'stale' } or { 'ok', how many stay of those looked at, then what _check.lua says of each fault }.
if redis.call('HGET', KEYS[1], 'version') ~= ARGV[1] then return { 'stale' } end
local r, width, gone = ranking_at(2), tonumber(ARGV[2]), 0
local places = redis.call('ZRANGE', r.segments, ARGV[5], ARGV[5] + ARGV[6] - 1, 'WITHSCORES')

local function check_place(place, order)
  local part = string.match(place, '^(%d+\2[^%z]*)%z')
  local element = part and string.sub(place, #part + 10) or ''
  local score = element ~= '' and redis.call('ZSCORE', r.rank, element)
  local member = string.sub(element, width + 1)
  local wrong
  if score and order ~= '0' then
    fault(member, 'stands in a segment out of order', 'put right', function() redis.call('ZADD', r.segments, 0, place) end)
  end
  if not score then
    wrong = 'stands in a segment and not in the ranking'
  elseif score_bytes(score) ~= string.sub(place, #part + 2, #part + 9) then
    wrong = 'stands in a segment with another score'
  else
    local parts = redis.call('HGET', r.values, member) or ''
    if holds_part(parts, part) then return end
    if not string.find(parts, '\1' .. string.match(part, '^%d+') .. '[\2\3]') then
      -- What it is described by is lost, and stands here.
      fault(member, 'stands in a segment and is not described so', 'described so', function()
        redis.call('HSET', r.values, member, parts .. '\1' .. part)
      end)
      return
    end
    wrong = 'stands in a segment that is not its own'
  end
  fault(member, wrong, 'taken out of it', function()
    redis.call('ZREM', r.segments, place)
    gone = gone + 1
  end)
end

for i = 1, #places, 2 do check_place(places[i], places[i + 1]) end
found[2] = #places / 2 - gone
return found
