-- Part: what is left in an outbox.

-- How many entries there are, and how many ms ago the oldest came by the clock that gave it its id.
local function outbox_left(stream)
  local oldest = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1]
  if not oldest then return 0, 0 end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  return redis.call('XLEN', stream), math.max(0, now - tonumber(string.match(oldest[1], '^%d+')))
end
