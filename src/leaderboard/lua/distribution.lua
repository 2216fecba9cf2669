-- Counts the entries of one ranking by score.
--   KEYS  1 board  2 rank
--   ARGV  1 asked (see _period.lua)  2 buckets  3 '1' = the ranking's scores are negated, so that buckets open at the other end
--         4 how totals decay (see _decay.lua)  5 at which time they are counted, in µs, then the quantiles to read, as shares (0 to 1) of the entries from the lowest true score
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', 0 } | { 'ok', total, { edge, …, edge }, { count, … }, { score, … } }
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local total = redis.call('ZCARD', KEYS[2])
if total == 0 then return { 'ok', 0 } end
local least = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local most = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2]

-- Buckets are of equal width in what is shown, and counted in what is kept.
local age = decay_age(ARGV[4], ARGV[5])
local function total_of(kept) return age and decay_decode(tonumber(kept), age) or tonumber(kept) end
local lowest, highest = total_of(least), total_of(most)
local buckets = lowest == highest and 1 or tonumber(ARGV[2])
local edges, shown, counts = { least }, { score_shown(least, age) }, {}
for i = 1, buckets - 1 do
  -- Weighted, since most - least may leave the range of a double.
  local edge = lowest * (1 - i / buckets) + highest * (i / buckets)
  if age then edge = decay_encode(edge, age) end
  edge = math.max(tonumber(edges[i]), math.min(tonumber(most), edge))
  edges[i + 1] = string.format('%.17g', edge)
  shown[i + 1] = score_shown(edges[i + 1], age)
end
edges[buckets + 1], shown[buckets + 1] = most, score_shown(most, age)
for i = 1, buckets do
  local from, to = edges[i], edges[i + 1]
  if ARGV[3] == '1' then
    if i > 1 then from = '(' .. from end
  elseif i < buckets then
    to = '(' .. to
  end
  counts[i] = redis.call('ZCOUNT', KEYS[2], from, to)
end

local scores = {}
for i = 6, #ARGV do
  local place = math.min(total, math.max(1, math.ceil(ARGV[i] * total))) - 1
  if ARGV[3] == '1' then place = total - 1 - place end
  scores[#scores + 1] = score_shown(redis.call('ZRANGE', KEYS[2], place, place, 'WITHSCORES')[2], age)
end
return { 'ok', total, shown, counts, scores }
