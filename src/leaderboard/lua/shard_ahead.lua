-- Counts how many entries of one shard stand ahead of positions of whole rankings.
--   KEYS  the keys of rankings, one after another (see _ranking.lua)
--   ARGV  1 part of the segments ('' = the whole ranking)  2 sub width ('' = ranks that equal rows share are not wanted), then for
--         each position: number of its ranking, score, bytes that an entry with that score is compared with
--   Gives for each position: entries ahead of it, entries ahead of all rows that equal it.
local rankings, sights, counts = rankings_from(1, #KEYS), {}, {}
local sub_width = tonumber(ARGV[2])
for i = 3, #ARGV, 3 do
  local number, score, bytes = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2]
  sights[number] = sights[number] or sight_of(rankings[number], ARGV[1])
  local ahead = place_from(sights[number], score, bytes)
  counts[#counts + 1] = ahead
  counts[#counts + 1] = sub_width and place_from(sights[number], score, string.sub(bytes, 1, sub_width)) or ahead
end
return counts
