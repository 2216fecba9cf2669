-- Reads the entries of many members of one ranking.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 ranking (ordinal, competition, dense)
--         5 part of the segments ('' = the whole ranking), then the members
--   Gives { 'stale' } | { 'period', now µs } | { 'undistinct' } (dense ranks need distinct.lua first)
--         | { 'ok', total, for each member: {} or { place, shared rank, ZSET member, score, metadata or '',
--         parts or '' } }
local width, sub_width = tonumber(ARGV[2]), tonumber(ARGV[3])
local r = ranking_at(2)
r.stands = true
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local sight = sight_of(r, ARGV[5])
if ARGV[4] == 'dense' and sight.total > 0 and not distinct_ready(r.distinct) then return { 'undistinct' } end

local has_metadata, has_parts = redis.call('EXISTS', r.meta) == 1, redis.call('EXISTS', r.values) == 1
local found = { 'ok', sight.total }
for i = 6, #ARGV do
  local entry, row = entry_find(r, ARGV[i], width), {}
  local place = entry.score and place_of(sight, entry.score, entry.element)
  if place then
    local metadata = has_metadata and redis.call('HGET', r.meta, ARGV[i]) or ''
    local parts = has_parts and redis.call('HGET', r.values, ARGV[i]) or ''
    local rank = shared_rank(sight, ARGV[4], entry.element, entry.score, place, sub_width)
    row = { place, rank, entry.element, entry.score, metadata, parts }
  end
  found[#found + 1] = row
end
return found
