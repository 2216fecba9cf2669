-- Reads the entries of one shard around a position of the whole ranking, be there an entry or not.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 part of the segments ('' = the whole ranking)
--         5 '1' = ranks that equal rows share are wanted  6 score of the position ('' = the beginning)  7 its bytes: what an entry
--         with that score is compared with  8 entries ahead of it  9 entries from it on
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', total, entries ahead of the position, place of the first entry given,
--         entries ahead of all rows that equal the position's, the same of the first entry given, { ZSET member, score, … }
--         (scores of a part as eight bytes), { metadata or '' of each, if any }, { parts or '' of each, if any } }.
local width, sub_width, shares = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[5] == '1'
local r = ranking_at(2)
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local sight = sight_of(r, ARGV[4])

local ahead, ahead_of_equals = 0, 0
if ARGV[6] ~= '' then
  ahead = place_from(sight, ARGV[6], ARGV[7])
  if shares then ahead_of_equals = place_from(sight, ARGV[6], string.sub(ARGV[7], 1, sub_width)) end
end
local from, to = math.max(0, ahead - ARGV[8]), ahead + ARGV[9] - 1
local entries = to >= from and entries_in(sight, from, to) or {}
local ahead_of_first = from
if shares and entries[1] then
  ahead_of_first = place_from(sight, plain_score(sight, entries[2]), string.sub(entries[1], 1, sub_width))
end
local metadata, parts = belongings_of(r, entries, width)
return { 'ok', sight.total, ahead, from, ahead_of_equals, ahead_of_first, entries, metadata, parts }
