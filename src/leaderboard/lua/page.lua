-- Reads a run of entries of one ranking, and where it stands.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 ranking (ordinal, competition, dense)
--         5 mode: 'offset' (6 offset, 7 limit) | 'after' (6 score, 7 ZSET member, 8 limit)
--               | 'member' (6 member, 7 radius) | 'score' (6 score, 7 radius, 8 '1' = ahead of equal scores)
--   Gives { 'stale' } | { 'period', now µs } | { 'absent' } | { 'undistinct' } (dense ranks need distinct.lua first)
--         | { 'ok', total, place of the first entry, place asked for, rank asked for (mode score),
--         shared rank of the first entry, { ZSET member, score, … }, { metadata or '' of each, if any } }; places are 0-based
local mode, width, sub_width = ARGV[5], tonumber(ARGV[2]), tonumber(ARGV[3])
local r = ranking_at(2)
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local total = redis.call('ZCARD', r.rank)
if ARGV[4] == 'dense' and total > 0 and not distinct_ready(r.distinct) then return { 'undistinct' } end

local from, to, asked, found, asked_rank
if mode == 'offset' then
  from = tonumber(ARGV[6])
  to, asked = from + tonumber(ARGV[7]) - 1, from
elseif mode == 'after' then
  from = place_after(r.rank, ARGV[6], ARGV[7])
  to, asked = from + tonumber(ARGV[8]) - 1, from
elseif mode == 'member' then
  local entry = entry_find(r, ARGV[6], width)
  if not entry.score then return { 'absent' } end
  asked, found = redis.call('ZRANK', r.rank, entry.element), entry
  from, to = math.max(0, asked - ARGV[7]), asked + ARGV[7]
else
  asked = redis.call('ZCOUNT', r.rank, '-inf', (ARGV[8] == '1' and '(' or '') .. ARGV[6])
  from, to = math.max(0, asked - ARGV[7]), asked + ARGV[7] - 1
  asked_rank = rank_of_score(r, ARGV[4], ARGV[6], asked)
end

local entries = {}
if found and from == to then
  entries = { found.element, found.score }
elseif to >= from then
  entries = redis.call('ZRANGE', r.rank, from, to, 'WITHSCORES')
end
local shared = shared_rank(r, ARGV[4], entries[1], entries[2], from, sub_width)
return { 'ok', total, from, asked, asked_rank or 0, shared, entries, metadata_of(r, entries, width) }
