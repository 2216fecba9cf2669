-- Counts the entries of one ranking by score.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 buckets  3 '1' = the ranking's scores are negated, so that buckets open at the other end
--         4 part of the segments ('' = the whole ranking),
--         then the quantiles to read, as shares (0 to 1) of the entries from the lowest true score
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', 0 } | { 'ok', total, { edge, …, edge }, { count, … }, { score, … } }
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local sight, negated = sight_of(ranking_at(2), ARGV[4]), ARGV[3] == '1'
local total = sight.total
if total == 0 then return { 'ok', 0 } end
local function score_at(place) return plain_score(sight, entries_in(sight, place, place)[2]) end
local least, most = score_at(0), score_at(total - 1)

local buckets = least == most and 1 or tonumber(ARGV[2])
local edges, counts, before = { least }, {}, 0
for i = 1, buckets do
  local after = total
  if i < buckets then
    -- Weighted, since most - least may leave the range of a double.
    local edge = tonumber(least) * (1 - i / buckets) + tonumber(most) * (i / buckets)
    edge = math.max(tonumber(edges[i]), math.min(tonumber(most), edge))
    edges[i + 1] = string.format('%.17g', edge)
    after = place_of_score(sight, edges[i + 1], not negated)
  end
  counts[i], before = after - before, after
end
edges[buckets + 1] = most

local scores = {}
for i = 5, #ARGV do
  local place = math.min(total, math.max(1, math.ceil(ARGV[i] * total))) - 1
  scores[#scores + 1] = score_at(negated and total - 1 - place or place)
end
return { 'ok', total, edges, counts, scores }
