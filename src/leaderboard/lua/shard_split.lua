-- Reads some entries of one shard around places, each as far from the next, by which a place of the whole ranking can be told.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 part of the segments ('' = the whole ranking)  3 entries around each place  4 how far around
--         it, in deviations of a random spread, then the places: a number, or a share of the entries with 's' in front
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', total, for each place { place, ZSET member, score, … } (scores of a part as
--         eight bytes) }; the first and the last entry are among them where they are as near.
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local sight = sight_of(ranking_at(2), ARGV[2])
local total, most, deviations = sight.total, tonumber(ARGV[3]), tonumber(ARGV[4])
local answer = { 'ok', total }
for i = 5, #ARGV do
  local share = string.match(ARGV[i], '^s(.+)$')
  local center = math.floor(share and share * total or tonumber(ARGV[i]))
  local around = math.ceil(deviations * math.sqrt(center + 1)) + most
  local from, to = math.max(0, center - around), math.min(total - 1, center + around)
  local step, found = math.max(1, math.ceil((to - from) / most)), {}
  local function add(place)
    local entry = entries_in(sight, place, place)
    found[#found + 1], found[#found + 2], found[#found + 3] = place, entry[1], entry[2]
  end
  for place = from, to, step do add(place) end
  if to >= from and (to - from) % step > 0 then add(to) end
  answer[#answer + 1] = found
end
return answer
