-- Part: rankings that nobody reads any more wait in one list, to be freed in short steps.

-- Puts all periods of a list there, each behind the stem that its keys share, and drops the list.
local function free_periods(free, list, stem)
  for _, period in ipairs(redis.call('ZRANGE', list, 0, -1)) do redis.call('RPUSH', free, stem .. period) end
  redis.call('UNLINK', list)
end
