-- Counts the entries of one ranking by score.
--   KEYS  1 board  2 rank
--   ARGV  1 asked (see _period.lua)  2 buckets  3 '1' = the ranking's scores are negated, so that buckets open at the other end,
--         then the quantiles to read, as shares (0 to 1) of the entries from the lowest true score
--   Gives { 'stale' } | { 'period', now µs } | { 'ok', 0 } | { 'ok', total, { edge, …, edge }, { count, … }, { score, … } }
local refused_call = refusal(KEYS[1], ARGV[1])
if refused_call then return refused_call end
local total = redis.call('ZCARD', KEYS[2])
if total == 0 then return { 'ok', 0 } end
local least = redis.call('ZRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
local most = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')[2]

local buckets = least == most and 1 or tonumber(ARGV[2])
local edges, counts = { least }, {}
for i = 1, buckets - 1 do
  -- Weighted, since most - least may leave the range of a double.
  local edge = tonumber(least) * (1 - i / buckets) + tonumber(most) * (i / buckets)
  edge = math.max(tonumber(edges[i]), math.min(tonumber(most), edge))
  edges[i + 1] = string.format('%.17g', edge)
end
edges[buckets + 1] = most
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
for i = 4, #ARGV do
  local place = math.min(total, math.max(1, math.ceil(ARGV[i] * total))) - 1
  if ARGV[3] == '1' then place = total - 1 - place end
  scores[#scores + 1] = redis.call('ZRANGE', KEYS[2], place, place, 'WITHSCORES')[2]
end
return { 'ok', total, edges, counts, scores }
