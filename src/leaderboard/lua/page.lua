-- Reads a run of entries of one ranking, and where it stands.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 ranking (ordinal, competition, dense)
--         5 part of the segments ('' = the whole ranking)  6 mode: 'offset' (7 offset, 8 limit)
--               | 'after' (7 score, 8 ZSET member, 9 limit) | 'member' (7 member, 8 radius)
--               | 'score' (7 score, 8 radius, 9 '1' = ahead of equal scores)
--   Gives { 'stale' } | { 'period', now µs } | { 'absent' } | { 'undistinct' } (dense ranks need distinct.lua first)
--         | { 'ok', total, place of the first entry, place asked for, rank asked for (mode score),
--         shared rank of the first entry, { ZSET member, score, … } (scores of a part as eight bytes), { metadata or '' of each, if any },
--         { parts or '' of each, if any } }; places are 0-based
local mode, width, sub_width = ARGV[6], tonumber(ARGV[2]), tonumber(ARGV[3])
local r = ranking_at(2)
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local sight = sight_of(r, ARGV[5])
if ARGV[4] == 'dense' and sight.total > 0 and not distinct_ready(r.distinct) then return { 'undistinct' } end

local from, to, asked, found, asked_rank
if mode == 'offset' then
  from = tonumber(ARGV[7])
  to, asked = from + tonumber(ARGV[8]) - 1, from
elseif mode == 'after' then
  from = place_after(sight, ARGV[7], ARGV[8])
  to, asked = from + tonumber(ARGV[9]) - 1, from
elseif mode == 'member' then
  local entry = entry_find(r, ARGV[7], width)
  asked, found = entry.score and place_of(sight, entry.score, entry.element), entry
  if not asked then return { 'absent' } end
  from, to = math.max(0, asked - ARGV[8]), asked + ARGV[8]
else
  asked = place_of_score(sight, ARGV[7], ARGV[9] == '1')
  from, to = math.max(0, asked - ARGV[8]), asked + ARGV[8] - 1
  asked_rank = rank_of_score(sight, ARGV[4], ARGV[7], asked)
end

local entries = {}
if found and from == to then
  entries = { found.element, sight.from and score_bytes(found.score) or found.score }
elseif to >= from then
  entries = entries_in(sight, from, to)
end
local shared = shared_rank(sight, ARGV[4], entries[1], plain_score(sight, entries[2]), from, sub_width)
local metadata, parts = belongings_of(r, entries, width)
return { 'ok', sight.total, from, asked, asked_rank or 0, shared, entries, metadata, parts }
