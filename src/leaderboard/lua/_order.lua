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

-- The score as eight bytes that sort as it does, and back: in a segment they stand in front of the order key.
local function score_bytes(score)
  local a, b, c, d, e, f, g, h = string.byte(struct.pack('>d', score + 0), 1, 8)
  if a < 128 then return string.char(a + 128, b, c, d, e, f, g, h) end
  return string.char(255 - a, 255 - b, 255 - c, 255 - d, 255 - e, 255 - f, 255 - g, 255 - h)
end

local function bytes_score(bytes)
  local a, b, c, d, e, f, g, h = string.byte(bytes, 1, 8)
  if a >= 128 then return (struct.unpack('>d', string.char(a - 128, b, c, d, e, f, g, h))) end
  return (struct.unpack('>d', string.char(255 - a, 255 - b, 255 - c, 255 - d, 255 - e, 255 - f, 255 - g, 255 - h)))
end

-- How many entries a segment's value has. A part is `dimension 0x02 value`.
local function segment_total(segments, part)
  return redis.call('ZLEXCOUNT', segments, '[' .. part .. '\0', '(' .. part .. '\1')
end
