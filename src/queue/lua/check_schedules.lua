-- Looks whether each schedule has a next tick, and each tick a schedule.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 settings  4 `mend` to take out ticks without a schedule
--   Gives { 'ok', then what _check.lua says of each fault }; what is about a schedule without a tick has no mending here.
for _, schedule in ipairs(redis.call('HKEYS', SCHEDULES)) do
  if not redis.call('ZSCORE', TICKS, schedule) then fault(schedule, 'is a schedule that never ticks', '', function() end) end
end
for _, schedule in ipairs(redis.call('ZRANGE', TICKS, 0, -1)) do
  if redis.call('HEXISTS', SCHEDULES, schedule) == 0 then
    fault(schedule, 'ticks and is no schedule', 'taken out', function() redis.call('ZREM', TICKS, schedule) end)
  end
end
return found
