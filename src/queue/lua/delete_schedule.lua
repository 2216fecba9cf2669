-- Deletes a schedule.
--   KEYS  1 to 30 the keys of the queue
--   ARGV  1 now µs ('' = server time)  2 ''  3 no settings  4 ''  5 schedule
--   Gives { 'ok', 1 if it was there }.
redis.call('ZREM', TICKS, ARGV[5])
return { 'ok', redis.call('HDEL', SCHEDULES, ARGV[5]) }
