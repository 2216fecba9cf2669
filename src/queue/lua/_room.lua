-- Part: the limits of a queue.

-- How many more leases the queue allows now, and after how many ms the next one is free where there is none.
local function room()
  local free, after = 1000, nil
  if max_concurrency then free = math.max(0, max_concurrency - redis.call('ZCARD', LEASED)) end
  if rate_limit then
    local used = redis.call('LLEN', RATE)
    while used > 0 and tonumber(redis.call('LINDEX', RATE, -1)) <= now - rate_per do
      redis.call('RPOP', RATE)
      used = used - 1
    end
    if used >= rate_limit then after = tonumber(redis.call('LINDEX', RATE, rate_limit - 1)) + rate_per - now end
    free = math.min(free, math.max(0, rate_limit - used))
  end
  return free, after
end
