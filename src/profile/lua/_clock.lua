-- Part: time.

-- µs since 1970: what was given, or the server's time.
local function clock_us(given)
  if given ~= '' then return tonumber(given) end
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
