-- Counts the entries of one ranking by score.
--   KEYS  1 board  2 rank  3 ids  4 meta  5 distinct  6 hidden  7 segments  8 values
--   ARGV  1 asked (see _period.lua)  2 buckets  3 '1' = the ranking's scores are negated, so that buckets open at the other end
--         4 part of the segments ('' = the whole ranking)  5 how totals decay (see _decay.lua)  6 at which time they are
--         counted, in µs, then the quantiles to read, as shares (0 to 1) of the entries from the lowest true score
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', 0 } | { 'ok', total, { edge, …, edge }, { count, … }, { score, … } }
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local sight, negated = sight_of(ranking_at(2), ARGV[4]), ARGV[3] == '1'
local total = sight.total
if total == 0 then return { 'ok', 0 } end
local function score_at(place) return plain_score(sight, entries_in(sight, place, place)[2]) end
local least, most = score_at(0), score_at(total - 1)

-- Buckets are of equal width in what is shown, and counted in what is kept.
local age = decay_age(ARGV[5], ARGV[6])
local function total_of(kept) return age and decay_decode(tonumber(kept), age) or tonumber(kept) end
local lowest, highest = total_of(least), total_of(most)
local buckets = lowest == highest and 1 or tonumber(ARGV[2])
local edge, shown, counts, before = tonumber(least), { score_shown(least, age) }, {}, 0
for i = 1, buckets do
  local after = total
  if i < buckets then
    -- Weighted, since highest - lowest may leave the range of a double.
    local between = lowest * (1 - i / buckets) + highest * (i / buckets)
    if age then between = decay_encode(between, age) end
    edge = math.max(edge, math.min(tonumber(most), between))
    local text = string.format('%.17g', edge)
    shown[i + 1] = score_shown(text, age)
    after = place_of_score(sight, text, not negated)
  end
  counts[i], before = after - before, after
end
shown[buckets + 1] = score_shown(most, age)

local scores = {}
for i = 7, #ARGV do
  local place = math.min(total, math.max(1, math.ceil(ARGV[i] * total))) - 1
  scores[#scores + 1] = score_shown(score_at(negated and total - 1 - place or place), age)
end
return { 'ok', total, shown, counts, scores }
