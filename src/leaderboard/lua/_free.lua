-- Part: rankings that nobody reads any more wait in one list, to be freed in short steps.

-- Puts all periods of a list there, each behind the stem that its keys share, and drops the list.
local function free_periods(free, list, stem)
  local batch = {}
  for _, period in ipairs(redis.call('ZRANGE', list, 0, -1)) do
    batch[#batch + 1] = stem .. period
    if #batch == 100 then
      redis.call('RPUSH', free, unpack(batch))
      batch = {}
    end
  end
  if #batch > 0 then redis.call('RPUSH', free, unpack(batch)) end
  redis.call('UNLINK', list)
end
