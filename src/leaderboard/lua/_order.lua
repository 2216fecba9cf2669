-- Part: the order inside a ranking.
-- A ranking is a ZSET: score = the primary score, negated where a higher one is better, so that the best entry is
-- always the first; member = order key .. member id. The order key holds the subscores and the time of achievement as
-- fixed-width bytes of 0x80 and above, seven bits each, whose byte order is the wanted order.

-- Byte order, whatever LC_COLLATE the server runs under (Lua's `<` asks strcoll).
local function bytes_less(a, b)
  local shared = math.min(#a, #b)
  for i = 1, shared do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- The 0-based place of the first entry with this score whose bytes are not below `bytes`; '' asks for the whole score.
local function lower_bound(rank, score, bytes)
  local low = redis.call('ZCOUNT', rank, '-inf', '(' .. score)
  if bytes == '' then return low end
  local high = low + redis.call('ZCOUNT', rank, score, score)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if bytes_less(redis.call('ZRANGE', rank, middle, middle)[1], bytes) then low = middle + 1 else high = middle end
  end
  return low
end

-- One text a score, so that equal scores share an entry of the distinct ZSET.
local function distinct_entry(score, sub_key)
  return sub_key .. string.format('%.17g', tonumber(score))
end
