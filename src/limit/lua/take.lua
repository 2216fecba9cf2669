-- Counts requests: each adds to the levels of its buckets, or, where it does not fit into one of them, to none.
--   KEYS  the buckets
--   ARGV  1 now µs ('' = server time), then for each bucket the ticks that drain in a µs and those of a full one, then for each
--         group of equal requests how many there are, how many buckets they have, and for each of these its number and the ticks
--         that a request adds
--   Gives { for each group how many of its requests fit, for each bucket its level then }.
local now, drain, capacity, level, since = clock_us(ARGV[1]), {}, {}, {}, {}
-- Kept for so much longer than a level takes to drain, in ms: a clock that stands or is set back empties no bucket.
local SLACK = 60000
for i = 1, #KEYS do
  drain[i], capacity[i], level[i], since[i] = tonumber(ARGV[2 * i]), tonumber(ARGV[2 * i + 1]), 0, now
  local kept = redis.call('GET', KEYS[i])
  if kept then
    local kept_level, at = struct.unpack('<dd', kept)
    -- What has drained once does not again where the clock was set back.
    since[i] = math.max(now, at)
    level[i] = math.max(0, kept_level - (since[i] - at) * drain[i])
  end
end
local answer, place, changed = {}, 2 + 2 * #KEYS, {}
while place < #ARGV do
  local fit, last = tonumber(ARGV[place]), place + 2 * ARGV[place + 1]
  for at = place + 2, last, 2 do
    local bucket = tonumber(ARGV[at])
    fit = math.max(0, math.min(fit, math.floor((capacity[bucket] - level[bucket]) / ARGV[at + 1])))
  end
  for at = place + 2, last, 2 do
    local bucket = tonumber(ARGV[at])
    level[bucket] = level[bucket] + fit * ARGV[at + 1]
    changed[bucket] = changed[bucket] or fit > 0
  end
  answer[#answer + 1] = fit
  place = last + 2
end
for i = 1, #KEYS do
  if changed[i] then
    local lifetime_ms = math.ceil(level[i] / drain[i] / 1000) + SLACK
    redis.call('SET', KEYS[i], struct.pack('<dd', level[i], since[i]), 'PX', string.format('%.0f', lifetime_ms))
  end
  answer[#answer + 1] = string.format('%.17g', level[i])
end
return answer
