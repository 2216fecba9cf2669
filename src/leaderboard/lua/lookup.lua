-- Reads the entries of many members of one ranking.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden
--   ARGV  1 asked (see _period.lua)  2 order key width  3 sub width  4 ranking (ordinal, competition, dense), then the members
--   Gives { 'stale' } | { 'period', now µs } | { 'undistinct' } (dense ranks need distinct.lua first)
--         | { 'ok', total, for each member: {} or { place, shared rank, ZSET member, score, metadata or '' } }
local width, sub_width = tonumber(ARGV[2]), tonumber(ARGV[3])
local r = ranking_at(2)
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local total = redis.call('ZCARD', r.rank)
if ARGV[4] == 'dense' and total > 0 and not distinct_ready(r.distinct) then return { 'undistinct' } end

local has_metadata = redis.call('EXISTS', r.meta) == 1
local found = { 'ok', total }
for i = 5, #ARGV do
  local entry, row = entry_find(r, ARGV[i], width), {}
  if entry.score then
    local place = redis.call('ZRANK', r.rank, entry.element)
    local metadata = has_metadata and redis.call('HGET', r.meta, ARGV[i]) or ''
    row = { place, shared_rank(r, ARGV[4], entry.element, entry.score, place, sub_width), entry.element, entry.score, metadata }
  end
  found[#found + 1] = row
end
return found
