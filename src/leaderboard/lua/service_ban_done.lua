-- Notes that all leaderboards have met a service-wide change, unless there is a newer one of the member.
--   KEYS  1 pending
--   ARGV  1 member  2 what is pending
--   Gives { 'ok' }.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('HDEL', KEYS[1], ARGV[1]) end
return { 'ok' }
