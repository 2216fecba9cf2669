-- Removes tokens that have ended.
--   KEYS  1 ids  2 ends, then tokens
--   ARGV  1 now µs ('' = server time), then the id of each token
--   Gives how many have gone.
local now, swept = math.floor(clock_us(ARGV[1]) / 1000), 0
for i = 3, #KEYS do
  local id = ARGV[i - 1]
  local ends = redis.call('ZSCORE', KEYS[2], id)
  if ends and tonumber(ends) <= now then
    redis.call('DEL', KEYS[i])
    redis.call('ZREM', KEYS[1], id)
    redis.call('ZREM', KEYS[2], id)
    swept = swept + 1
  end
end
return swept
