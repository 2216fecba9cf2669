-- Reads runs of entries of one ranking, and where they stand.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 ranking (ordinal, competition, dense)
--         5 part of the segments ('' = the whole ranking), then for each run its mode and three more, '' where there are fewer:
--         'offset', offset, limit | 'after', score, ZSET member, limit | 'member', member, radius, its hash
--         | 'score', score, radius, '1' = ahead of equal scores
--   Gives { 'stale' } | { 'period', now µs } | { 'undistinct' } (dense ranks need distinct.lua first) | { 'ok', total, a run for
--         each }; a run is {} where the member is not there, else { place of the first entry, place asked for, rank asked
--         for (mode score), shared rank of the first entry, { ZSET member, score, … } (scores of a part as eight bytes),
--         { metadata or '' of each, if any }, { parts or '' of each, if any } }; places are 0-based
local width, sub_width, ranking = tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local r = ranking_at(2)
r.stands = true
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local sight = sight_of(r, ARGV[5])
if ranking == 'dense' and sight.total > 0 and not distinct_ready(r.distinct) then return { 'undistinct' } end

-- The places of a run from one to another, the one asked for, the rank asked for, and an entry that was found on the way.
local function places_of(mode, first, second, third)
  if mode == 'offset' then
    local from = tonumber(first)
    return from, from + tonumber(second) - 1, from
  end
  if mode == 'after' then
    local from = place_after(sight, first, second)
    return from, from + tonumber(third) - 1, from
  end
  if mode == 'member' then
    local entry = entry_find(r, first, width, tonumber(third))
    local asked = entry.score and place_of(sight, entry.score, entry.element)
    if not asked then return nil end
    return math.max(0, asked - second), asked + second, asked, nil, entry
  end
  local asked = place_of_score(sight, first, third == '1')
  return math.max(0, asked - second), asked + second - 1, asked, rank_of_score(sight, ranking, first, asked)
end

local answer = { 'ok', sight.total }
for i = 6, #ARGV, 4 do
  local from, to, asked, asked_rank, found = places_of(ARGV[i], ARGV[i + 1], ARGV[i + 2], ARGV[i + 3])
  local run, entries = {}, {}
  if from then
    if found and from == to then
      entries = { found.element, sight.from and score_bytes(found.score) or found.score }
    elseif to >= from then
      entries = entries_in(sight, from, to)
    end
    local shared = shared_rank(sight, ranking, entries[1], plain_score(sight, entries[2]), from, sub_width)
    local metadata, parts = belongings_of(r, entries, width)
    run = { from, asked, asked_rank or 0, shared, entries, metadata, parts }
  end
  answer[#answer + 1] = run
end
return answer
