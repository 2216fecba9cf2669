-- Part: what a leaderboard limits.

-- The submission limit: a log of the times of the last `limit` submissions, so that no window holds more. Gives the
-- refusal, or nil with the time logged where `count` says so.
local function limited(log, limit, window_us, now, count)
  if count then
    redis.call('RPUSH', log, string.format('%.0f', now))
    redis.call('LTRIM', log, -limit, -1)
    redis.call('PEXPIRE', log, math.ceil(window_us / 1000))
    return nil
  end
  if redis.call('LLEN', log) < limit then return nil end
  local free_at = tonumber(redis.call('LINDEX', log, -limit)) + window_us
  if free_at <= now then return nil end
  return { 'limited', math.ceil((free_at - now) / 1000) }
end

-- The refusal of the item of this number where it is among those that the section does not let in, or nil.
local function refused(numbers, number)
  if not string.find(numbers, ',' .. number .. ',', 1, true) then return nil end
  return { 'closed' }
end
