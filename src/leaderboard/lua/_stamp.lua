-- Part: time. A stamp is µs since 1970, never the same twice on one leaderboard, so that ties have an order.
local STAMP_WIDTH = 8
local STAMP_TURN = 2 ^ 53 - 1

local function clock_us(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end

-- The time of achievement as order key bytes: 56 bits, seven a byte.
local function stamp_key(stamp, ties)
  if ties == 'member' then return '' end
  if ties == 'latest' then stamp = STAMP_TURN - stamp end
  local high = math.floor(stamp / 268435456)
  local low = stamp - high * 268435456
  return string.char(
    128 + math.floor(high / 2097152) % 128, 128 + math.floor(high / 16384) % 128,
    128 + math.floor(high / 128) % 128, 128 + high % 128,
    128 + math.floor(low / 2097152) % 128, 128 + math.floor(low / 16384) % 128,
    128 + math.floor(low / 128) % 128, 128 + low % 128)
end
